"""What the portal's home shows a person: their servers and tools, what is paused, which clients act for them."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlmodel import Session, col, select

from authz.policy.decisions import SEEN_AS, USED_AS, Decision
from authz.tables import Client, Consent, RefreshToken
from registry.catalogue import DEFAULT_PORTAL, PORTAL_PATH, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from authz.policy.policy import Policy
    from authz.principals import Principal
    from gateway.snapshots import Snapshot

SHOWN = 200  # of one server on one page


@dataclass(frozen=True, slots=True)
class Offer:
    """Something a person can see: a tool, prompt, resource or template. `refused` says why they may not use it."""

    kind: str
    name: str
    title: str
    description: str
    refused: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """One server, as far as it is this person's; `offers` are the first of them."""

    slug: str
    title: str
    offers: tuple[Offer, ...]
    usable: int
    refused: int
    failing: bool

    @property
    def more(self) -> int:
        return self.usable + self.refused - len(self.offers)


@dataclass(frozen=True, slots=True)
class Connected:
    """A client that a person said yes to."""

    id: str
    name: str
    where: str
    since: float
    last_used: float | None
    resources: tuple[str, ...]


def shelves(snapshot: Snapshot, me: Principal) -> list[Shelf]:
    """The default portal as policy lets this person see it, server by server."""
    mount = snapshot.catalogue.mounts.get(PORTAL_PATH)
    if mount is None:
        return []
    found: dict[str, list[tuple[Entry, Decision]]] = {}
    for entry in mount.entries():
        if snapshot.policy.decide(me, mount.portal, entry.object, SEEN_AS[entry.kind]):
            use = snapshot.policy.decide(me, mount.portal, entry.object, USED_AS[entry.kind])
            found.setdefault(entry.server, []).append((entry, use))
    return [_shelf(snapshot, slug, visible) for slug, visible in sorted(found.items())]


def _shelf(snapshot: Snapshot, slug: str, visible: list[tuple[Entry, Decision]]) -> Shelf:
    server = snapshot.catalogue.upstreams.get(slug)
    usable = sum(1 for _, use in visible if use)
    return Shelf(
        slug=slug,
        title=server.title or slug if server else slug,
        offers=tuple(_offer(entry, use) for entry, use in visible[:SHOWN]),
        usable=usable,
        refused=len(visible) - usable,
        failing=server is not None and server.stale_since is not None,
    )


def _offer(entry: Entry, use: Decision) -> Offer:
    described = _decoded(entry.raw)
    return Offer(
        kind=str(entry.kind),
        name=entry.exposed,
        title=_text(described.get("title")),
        description=_first_sentence(_text(described.get("description"))),
        refused="" if use else use.reason,
    )


def paused(catalogue_paused: Mapping[tuple[str, str], str], policy: Policy, me: Principal) -> list[tuple[str, str]]:
    """What this person could see if it were not awaiting review, and why it does."""
    return [
        (name, why)
        for (kind, name), why in sorted(catalogue_paused.items(), key=lambda item: (item[0][1], item[0][0]))
        if policy.decide(me, DEFAULT_PORTAL, name, SEEN_AS[kind])
    ]


def connected(session: Session, person: str, now: float | None = None) -> list[Connected]:
    """The clients with a consent or a living refresh token."""
    alive = _alive(session, person, time.time() if now is None else now)
    consents: dict[str, list[Consent]] = {}
    for consent in session.exec(select(Consent).where(Consent.person == person)):
        consents.setdefault(consent.client, []).append(consent)
    found = [_connected(session, id_, consents.get(id_, []), alive.get(id_, [])) for id_ in {*consents, *alive}]
    return sorted(found, key=lambda client: (-client.since, client.id))


def _alive(session: Session, person: str, now: float) -> dict[str, list[RefreshToken]]:
    tokens = select(RefreshToken).where(
        RefreshToken.person == person, col(RefreshToken.ended_at).is_(None), RefreshToken.expires_at > now
    )
    found: dict[str, list[RefreshToken]] = {}
    for token in session.exec(tokens):
        found.setdefault(token.client, []).append(token)
    return found


def _connected(session: Session, id_: str, consents: list[Consent], tokens: list[RefreshToken]) -> Connected:
    client = session.get(Client, id_)
    given = [consent.given_at for consent in consents] + [token.created_at for token in tokens]
    return Connected(
        id=id_,
        name=(client.name if client else "") or id_,
        where=_where(consent.redirect_uri for consent in consents),
        since=min(given, default=0.0),
        last_used=max((token.created_at for token in tokens), default=None),
        resources=tuple(sorted({*(c.resource for c in consents), *(t.resource for t in tokens)})),
    )


def _where(redirect_uris: Iterable[str]) -> str:
    """Where a client really is: its name is its own word, its redirect is not."""
    places = {urlsplit(uri).netloc or urlsplit(uri).scheme + ":" for uri in redirect_uris}
    return ", ".join(sorted(places))


def _decoded(raw: bytes) -> dict[str, Any]:
    decoded = json.loads(raw)
    return decoded if isinstance(decoded, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _first_sentence(text: str, longest: int = 200) -> str:
    line = text.strip().split("\n", 1)[0]
    end = line.find(". ")
    line = line if end < 0 else line[: end + 1]
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
