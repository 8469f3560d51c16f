"""`ostiary idp test`: the adapter walks its connection, and we look at what stands around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.people import providers
from authz.tables import Group
from gateway.settings.loading import ConfigurationError
from idp_adapters.config import missing
from idp_adapters.contract import Finding, IdentityProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from authz.tables import Provider
    from gateway.identity.providers import Providers
    from gateway.office import Office


def walk(office: Office, opened: Providers, row: Provider) -> Iterator[Finding]:
    """Each step with what to do where it fails; whatever an adapter trips over ends the walk as a failed step."""
    try:
        adapter = opened.open(row).adapter
        yield Finding("the configuration is read and the adapter opened", ok=True)
        yield from adapter.check()
    except IdentityProblem as problem:
        yield Finding("the configuration is read and the adapter opened", ok=False, words=str(problem))
    yield _mappings(office, row.slug)


def check_installed(listed: Iterable[Provider]) -> None:
    """Raises ConfigurationError where a provider could never work on this machine: better now than at a sign-in."""
    problems = [
        f"identity provider {row.slug}: {words}; or {_without(row)}" for row in listed for words in missing(row.kind)
    ]
    if problems:
        raise ConfigurationError(problems)


def _without(row: Provider) -> str:
    return "take it out of the file" if row.declared else f"`ostiary idp disable {row.slug}`"


def _mappings(office: Office, slug: str) -> Finding:
    """Not a failure of the connection, but the usual reason for people who may do nothing."""
    with office.database.read() as session:
        mapped = {mapping.group for mapping in providers.mappings(session, slug)}
        lost = sorted(group for group in mapped if session.get(Group, group) is None)
    if not mapped:
        return Finding(
            "claims lead to groups of ours", ok=True,
            words=f"no mapping yet: people sign in, but are in no group; `ostiary idp map {slug} groups VALUE GROUP`",
        )  # fmt: skip
    if lost:
        words = f"there is no group {', '.join(lost)} any more: `ostiary group add {lost[0]}`, or unmap it"
        return Finding("claims lead to groups of ours", ok=False, words=words)
    return Finding("claims lead to groups of ours", ok=True, words=f"{len(mapped)} groups")
