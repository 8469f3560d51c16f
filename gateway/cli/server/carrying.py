"""What stays of how a server knows us, and what goes, when an administrator changes it: said, and as it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlmodel import select

from gateway.cli.server.authority import options
from registry.credentials.authenticating import owner
from registry.credentials.connections import listed
from registry.credentials.modes import option_of
from registry.tables import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlmodel import Session

    Settings = dict[str, Any]

_WHERE: Final = frozenset({"issuer", "token_endpoint", "authorization_endpoint", "revocation_endpoint"})
_PLACE: Final = frozenset({"per", "header", "scheme", "query", "cookie"})
_KEY: Final = frozenset({"region", "service", "access_key"})
_PROOF: Final = frozenset({"subject", "subject_audience", "provider", "source"})
# Whoever changes one of the first says something else as a whole: what is left out of the second is not meant with it.
# An app is known to the authorization server that it is registered with, and to no other.
_TOGETHER: Final = (
    (_WHERE, _WHERE | {"client_id", "client_auth", "workload"}),
    (_PLACE, _PLACE),
    (_KEY, _KEY),
    (_PROOF, _PROOF),
)


def carried(before: Mapping[str, Any], given: Settings) -> Settings:
    """Of the settings of the same mode, those that stay beside the ones that are given."""
    changed = {name for name, value in given.items() if _plain(before.get(name)) != _plain(value)}
    gone = {name for deciding, group in _TOGETHER if deciding & changed for name in group}
    return {name: _plain(value) for name, value in before.items() if name not in gone and name not in given}


def _plain(value: Any) -> Any:
    """What was stored as a list was given as a tuple."""
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Held:
    """What is kept for a server by which it knows us: settings, purposes of secrets, and how many accounts."""

    settings: Mapping[str, Any]
    secrets: frozenset[str]
    accounts: int

    @classmethod
    def of(cls, session: Session, slug: str, settings: Mapping[str, Any]) -> Held:
        found = session.exec(select(Secret.purpose).where(Secret.owner == owner(slug))).all()
        return cls(dict(settings), frozenset(found), len(listed(session, slug=slug)))


@dataclass(frozen=True, slots=True)
class Change:
    """From what was held to what is; `given` are the settings that were said."""

    before: Held
    after: Held
    given: Mapping[str, Any]

    def told(self) -> dict[str, Any]:
        return {
            "kept": self._kept(),
            "dropped": self._dropped(),
            "secrets_removed": sorted(self.before.secrets - self.after.secrets),
            "accounts_removed": self.before.accounts - self.after.accounts,
        }

    def lines(self) -> Iterator[str]:
        if kept := self._kept():
            yield f"  kept as it was: {options(kept)}"
        if dropped := self._dropped():
            yield f"  not kept: {options(dropped)}"
            yield "  what of that is still meant has to be given with the command"
        if gone := sorted(self.before.secrets - self.after.secrets):
            yield f"  removed: the stored {', '.join(option_of(purpose).removeprefix('--') for purpose in gone)}"
        if count := self.before.accounts - self.after.accounts:
            accounts = "1 connected account" if count == 1 else f"{count} connected accounts"
            yield f"  removed: {accounts}; whoever needs one connects it again"

    def _kept(self) -> Settings:
        return {name: _plain(value) for name, value in self.after.settings.items() if name not in self.given}

    def _dropped(self) -> Settings:
        return {name: _plain(value) for name, value in self.before.settings.items() if name not in self.after.settings}
