"""Which definition is where: on the portal that merges all servers, and on the mount of its own server.

On the portal a URI leads to the server that was approved first with it, whether that lists it or a tool of its names it
as its page (docs/decisions/0003, 0027). What is for the pages of one server alone is on that server's mount alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from registry.catalogue import DEFAULT_PORTAL, PORTAL_PATH, Entry, Mount
from registry.catalogue.apps import without_page
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from registry.catalogue import Upstream

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Approved:
    """An entry under its own name and under its exposed one; `since` settles who owns a URI that two servers offer."""

    own: Entry
    prefixed: Entry
    since: float


def mounts(approved: Mapping[str, Sequence[Approved]], upstreams: Mapping[str, Upstream]) -> Iterator[Mount]:
    """The portal, and a mount for each server."""
    everything = [one for slug in approved for one in approved[slug]]
    yield _mount(PORTAL_PATH, DEFAULT_PORTAL, "Ostiary", tuple(approved), list(_merged(everything)))
    for slug, ones in approved.items():
        path = f"/servers/{slug}/mcp"
        yield _mount(path, f"server:{slug}", upstreams[slug].title, (slug,), [one.own for one in ones])


def first_approved(everything: Sequence[Approved]) -> Iterator[Entry]:
    """Resources and templates of all servers: the one approved first keeps a URI, and is tried first for a match."""
    kept = owners(everything)
    by_uri = (one for one in everything if one.own.kind in {Kind.RESOURCE, Kind.TEMPLATE})
    for one in sorted(by_uri, key=lambda one: one.since):
        if kept[_place(one.own)] == one.own.server:
            yield one.own


def owners(everything: Iterable[Approved]) -> dict[tuple[Kind, str], str]:
    """Whose each URI is on the portal: listed resources, templates, and pages that tools name."""
    kept: dict[tuple[Kind, str], str] = {}
    for one in sorted(everything, key=lambda one: one.since):
        if one.own.kind in {Kind.RESOURCE, Kind.TEMPLATE}:
            kept.setdefault(_place(one.own), one.own.server)
        elif one.own.page:
            kept.setdefault((Kind.RESOURCE, one.own.page), one.own.server)
    return kept


def _place(entry: Entry) -> tuple[Kind, str]:
    return entry.kind, entry.name


def _merged(everything: Sequence[Approved]) -> Iterator[Entry]:
    kept = owners(everything)
    for one in everything:
        if one.own.kind in {Kind.TOOL, Kind.PROMPT} and not one.own.for_apps:
            foreign = one.own.page and kept[Kind.RESOURCE, one.own.page] != one.own.server
            yield _without_page(one.prefixed) if foreign else one.prefixed
    yield from first_approved(everything)


def _without_page(entry: Entry) -> Entry:
    """A tool whose page is another server's there: shown plainly, for its words in another's page would deceive."""
    shown, legacy = (join(without_page(_members(raw))) for raw in (entry.shown, entry.shown_legacy))
    return replace(entry, shown=shown, shown_legacy=legacy, page="")


def _mount(path: str, portal: str, title: str, servers: tuple[str, ...], entries: Sequence[Entry]) -> Mount:
    def of(kind: Kind) -> dict[str, Entry]:
        return {entry.exposed: entry for entry in entries if entry.kind == kind}

    pages: dict[str, tuple[Entry, ...]] = {}
    for entry in entries:
        if entry.page:
            pages[entry.page] = (*pages.get(entry.page, ()), entry)
    return Mount(
        path=path,
        portal=portal,
        title=title,
        servers=servers,
        tools=of(Kind.TOOL),
        prompts=of(Kind.PROMPT),
        resources=of(Kind.RESOURCE),
        templates=of(Kind.TEMPLATE),
        pages=pages,
    )


def join(members: Mapping[str, msgspec.Raw]) -> bytes:
    """The object with these members, each as its own bytes."""
    return b"{" + b",".join(msgspec.json.encode(key) + b":" + bytes(value) for key, value in members.items()) + b"}"
