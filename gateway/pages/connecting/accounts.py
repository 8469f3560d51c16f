"""What of a person's own servers want: an account that is connected, or a value that is given; and how that stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import func
from sqlmodel import col, select

from authz.policy.decisions import SEEN_AS
from gateway.credentials.connections.telling import label
from registry.credentials import connections
from registry.credentials.modes.static import StaticSettings
from registry.tables import Connection, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from authz.principals import Principal
    from gateway.snapshots import Snapshot
    from registry.catalogue import Upstream

# What a person reads of a state, and whether it is good, a warning or bad.
STATES: Final = {
    "": ("not connected", "warn"),
    ConnectionState.CONNECTED: ("connected", "ok"),
    ConnectionState.REFRESHING: ("being renewed", "ok"),
    ConnectionState.EXPIRING: ("ends soon", "warn"),
    ConnectionState.NEEDS_RECONNECT: ("has to be connected again", "bad"),
    ConnectionState.REVOKED: ("disconnected", ""),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One server and one person's account there. `wanted` is false for a server that is not theirs any more."""

    slug: str
    title: str
    wanted: bool
    header: str = ""  # of a value that is given; an account that is connected has none
    row: Connection | None = None

    @property
    def state(self) -> str:
        return "" if self.row is None else self.row.state

    @property
    def alive(self) -> bool:
        return self.row is not None and connections.is_alive(self.row)

    @property
    def words(self) -> str:
        return STATES[self.state][0]

    @property
    def tone(self) -> str:
        return STATES[self.state][1]

    @property
    def why(self) -> str:
        return "" if self.row is None or self.state == ConnectionState.CONNECTED else self.row.why

    @property
    def waits(self) -> bool:
        """Whether the person has something to do before calls work, or will have soon."""
        return self.wanted and (not self.alive or self.state == ConnectionState.EXPIRING)


def accounts_of(session: Session, snapshot: Snapshot, me: Principal | None, person: str) -> list[Account]:
    """All that want something of this person, and all that they ever connected; those that wait come first."""
    rows = {row.server: row for row in connections.listed(session, subject=person)}
    wanting = {} if me is None else {one.slug: one for one in theirs(snapshot, me)}
    known = snapshot.catalogue.upstreams
    found = [account(known.get(slug), slug, rows.get(slug), wanted=slug in wanting) for slug in {*wanting, *rows}]
    return sorted(found, key=lambda one: (not one.waits, one.title.lower(), one.slug))


def account(upstream: Upstream | None, slug: str, row: Connection | None, *, wanted: bool) -> Account:
    settings = None if upstream is None else upstream.auth_settings
    header = settings.place[1] if isinstance(settings, StaticSettings) else ""
    title = slug if upstream is None else upstream.title or slug
    return Account(slug=slug, title=title, wanted=wanted, header=header, row=row)


def theirs(snapshot: Snapshot, me: Principal) -> Iterator[Upstream]:
    """The servers of which this person can see anything anywhere, and which want something of each person's own."""
    for upstream in snapshot.catalogue.upstreams.values():
        if upstream.auth_settings.personal and is_theirs(snapshot, me, upstream.slug):
            yield upstream


def is_theirs(snapshot: Snapshot, me: Principal, slug: str) -> bool:
    """Whether policy lets them see anything of a server, on whichever mount."""
    return any(
        entry.server == slug and snapshot.policy.decide(me, mount.portal, entry.object, SEEN_AS[entry.kind])
        for mount in snapshot.catalogue.mounts.values()
        if slug in mount.servers
        for entry in mount.entries()
    )


@dataclass(frozen=True, slots=True)
class Held:
    """A connection as an administrator sees it: whose, and how it stands; never what is kept for it."""

    row: Connection
    whose: str

    @property
    def words(self) -> str:
        return STATES[self.row.state][0]

    @property
    def tone(self) -> str:
        return STATES[self.row.state][1]

    @property
    def alive(self) -> bool:
        return connections.is_alive(self.row)


def held_at(session: Session, slug: str) -> list[Held]:
    """All connections at a server, the shared one first, by name."""
    found = [Held(row, label(session, row.subject)) for row in connections.listed(session, slug=slug)]
    return sorted(found, key=lambda one: (one.row.subject != "", one.whose))


def ailing_at(session: Session) -> dict[str, int]:
    """How many connections at each server somebody has to look after."""
    query = select(col(Connection.server), func.count()).where(
        col(Connection.state).in_((ConnectionState.NEEDS_RECONNECT, ConnectionState.EXPIRING))
    )
    return dict(session.exec(query.group_by(col(Connection.server))).all())
