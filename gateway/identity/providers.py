"""Which identity providers there are, and an open adapter of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlmodel import col, select

from authz.tables import Provider as ProviderRow
from gateway.identity.equipment import equip, owner_of
from idp_adapters.config import kind_called, open_provider, read_config
from idp_adapters.contract import IdentityProblem, IdentityRefused, Vouching
from registry.tables import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.office import Office
    from idp_adapters.common import ProviderConfig
    from idp_adapters.contract import Provider

NOT_HERE: Final = "there is no such identity provider here, or it is switched off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A provider that is enabled, and its adapter."""

    slug: str
    title: str
    kind: str
    config: ProviderConfig
    adapter: Provider


class Providers:
    """Safe to share between threads. What is stored decides on every use; adapters live until theirs changes.

    So what an adapter has learned (a provider's keys, its metadata) is kept, and a change is felt by the next use in
    every process.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._open: dict[str, tuple[bytes, Opened]] = {}
        self._lock = Lock()

    def listed(self) -> list[ProviderRow]:
        """Those that are enabled, as they are stored: to choose among, without opening any."""
        with self._office.database.read() as session:
            rows = session.exec(select(ProviderRow).where(col(ProviderRow.disabled_at).is_(None))).all()
        return sorted(rows, key=lambda row: (title_of(row).casefold(), row.slug))

    def find(self, slug: str) -> ProviderRow | None:
        with self._office.database.read() as session:
            row = session.get(ProviderRow, slug)
        return row if row is not None and row.disabled_at is None else None

    def of_domain(self, login: str) -> ProviderRow | None:
        """Whose people have e-mail addresses like this one."""
        domain = login.rpartition("@")[2].lower() if "@" in login else ""
        return next((row for row in self.listed() if domain and domain in row.domains), None)

    def get(self, slug: str) -> Opened:
        """The provider of this name. Raises IdentityProblem if there is none, or if it cannot be opened."""
        row = self.find(slug)
        if row is None:
            raise IdentityRefused("no_provider", NOT_HERE)
        return self.open(row)

    def open(self, row: ProviderRow) -> Opened:
        content = self._content(row)
        with self._lock:
            known = self._open.get(row.slug)
            if known is not None and known[0] == content:
                return known[1]
        opened = self._opened(row)  # outside the lock: some libraries take a second to load
        with self._lock:
            self._open[row.slug] = (content, opened)
        return opened

    def vouching(self, subject_token_type: str, issuer: str) -> tuple[Opened, Vouching]:
        """Who judges a credential of this type from this issuer. Raises IdentityRefused when it is nobody, or two."""
        found = [one for one in self._judges(subject_token_type) if one[1].answers_for(issuer)]
        if len(found) != 1:
            raise IdentityRefused("issuer_ambiguous" if found else "issuer_unknown", NOT_HERE)
        return found[0]

    def _judges(self, subject_token_type: str) -> Iterator[tuple[Opened, Vouching]]:
        for row in self.listed():
            with suppress(IdentityProblem):  # one that cannot be opened judges nothing, and keeps nobody else from it
                opened = self.open(row)
                judge = opened.adapter
                if isinstance(judge, Vouching) and judge.subject_token_type == subject_token_type:
                    yield opened, judge

    def _opened(self, row: ProviderRow) -> Opened:
        config = read_config(row.kind, row.config)
        adapter = open_provider(row.kind, row.config, equip(self._office, row.slug, config))
        return Opened(slug=row.slug, title=title_of(row), kind=row.kind, config=config, adapter=adapter)

    def _content(self, row: ProviderRow) -> bytes:
        """All that an adapter was made of; with the versions of its secrets, which it may have kept."""
        with self._office.database.read() as session:
            kept = session.exec(select(Secret.purpose, Secret.version).where(Secret.owner == owner_of(row.slug))).all()
        made_of: list[Any] = [row.kind, row.title, row.config, sorted(tuple(one) for one in kept)]
        return msgspec.json.encode(made_of)


def title_of(row: ProviderRow) -> str:
    """What people call it."""
    return row.title or f"{kind_called(row.kind).title} ({row.slug})"
