"""Finding records through the index."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.orm import aliased
from sqlmodel import col, desc, exists, select

from gateway.journal.index.blocks import SLACK, entries, leading, moment
from gateway.journal.index.copying import Indexer
from registry.tables import JournalBlock, JournalName, Segment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import ColumnElement
    from sqlmodel import Session
    from sqlmodel.sql.expression import SelectOfScalar

    from gateway.journal.index.blocks import Entry
    from registry.database import Database

MOST: Final = 1000  # records about one call
AT_ONCE: Final = 8  # blocks that are held in memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is empty or None does not count. `event` may end with a dot; `text` is looked for whatever its case."""

    since: float | None = None
    until: float | None = None
    who: str = ""
    server: str = ""
    object: str = ""
    event: str = ""
    outcome: str = ""
    text: str = ""
    limit: int = 100

    def matches(self, entry: Entry) -> bool:
        found = entry.facts
        return (
            (self.since is None or found.at >= self.since)
            and (self.until is None or found.at < self.until)
            and (not self.who or found.who == self.who)
            and (not self.server or found.is_of(self.server))
            and (not self.object or found.object == self.object)
            and (not self.outcome or found.outcome == self.outcome)
            and (not self.event or found.event == self.event or _begins(found.event, self.event))
            and (not self.text or self.text.casefold() in entry.line.decode().casefold())
        )

    def names(self) -> Iterator[tuple[str, str]]:
        """Those that a block must bear, the rarest kind first."""
        for kind in ("object", "who", "server", "outcome", "event"):
            value = getattr(self, kind)
            if value and not (kind == "event" and value.endswith(".")):
                yield kind, leading(value)


def find(directory: Path, database: Database, wanted: Search) -> list[str]:
    """The newest matching lines, oldest first; the index is brought up to date before."""
    Indexer(directory, database).catch_up()
    with database.read() as session:
        found = list(islice(newest(session, wanted), wanted.limit))
    return [entry.line.decode() for entry in reversed(found)]


def about(directory: Path, database: Database, identity: str) -> list[str]:
    """Every record that bears this id: a record's own, a call's, a decision's (then of its call too)."""
    Indexer(directory, database).catch_up()
    with database.read() as session:
        found = {(entry.segment, entry.seq): entry for entry in bearing(session, {identity})}
        calls = {entry.facts.call for entry in found.values()} - {"", identity}
        found |= {(entry.segment, entry.seq): entry for entry in bearing(session, calls)}
    ordered = sorted(found.values(), key=lambda entry: (entry.facts.at, entry.seq))
    return [entry.line.decode() for entry in ordered[:MOST]]


def newest(session: Session, wanted: Search) -> Iterator[Entry]:
    """All that matches of what is copied, the newest first; reads no more than it is asked for."""
    waiting: list[tuple[float, int, str, Entry]] = []  # whatever comes with later blocks may be newer than these
    for stored in session.exec(_blocks(wanted).execution_options(yield_per=AT_ONCE)):
        while waiting and -waiting[0][0] >= stored.until:
            yield heappop(waiting)[-1]
        for entry in filter(wanted.matches, entries(stored)):
            heappush(waiting, (-entry.facts.at, -entry.seq, entry.id, entry))
    while waiting:
        yield heappop(waiting)[-1]


def oldest(session: Session, since: float, *events: str) -> Iterator[Entry]:
    """The records of these events, each writer's in their order."""
    named = select(JournalName.block).where(JournalName.kind == "event", col(JournalName.value).in_(events))
    query = named.where(JournalName.until >= since).order_by(col(JournalName.until))
    for stored in _stored(session, session.exec(query)):
        yield from (one for one in entries(stored) if one.facts.event in events and one.facts.at >= since)


def horizon(session: Session, since: float, most: int) -> float:
    """The moment since which only so many blocks were written, but none before `since`."""
    query = select(JournalBlock.until).where(JournalBlock.until >= since).order_by(desc(JournalBlock.until))
    return session.exec(query.offset(most).limit(1)).first() or since


def unsealed(session: Session, *events: str) -> Iterator[Entry]:
    """The records of these events in segments that are still written to, each in the order of its segment."""
    writing = select(Segment.name).where(col(Segment.sealed_at).is_(None))
    named = (col(JournalName.block) == JournalBlock.id, col(JournalName.kind) == "event")
    bears = exists().where(*named, col(JournalName.value).in_(events))
    query = select(JournalBlock.id).where(col(JournalBlock.segment).in_(writing), bears)
    for stored in _stored(session, session.exec(query.order_by(JournalBlock.segment, col(JournalBlock.first_seq)))):
        yield from (one for one in entries(stored) if one.facts.event in events)


def bearing(session: Session, identities: Collection[str]) -> Iterator[Entry]:
    """The records that bear one of these ids."""
    ways = (way for one in sorted(identities) for way in _ways(one))  # one by one: of many, SQLite looks at all blocks
    for stored in _stored(session, [block for way in ways for block in session.exec(way)]):
        for entry in entries(stored):
            if not {entry.id, entry.facts.call, entry.facts.decision}.isdisjoint(identities):
                yield entry


def _ways(identity: str) -> Iterator[SelectOfScalar[str]]:
    """To the blocks in which an id may be: by its name, by the time that it bears, or by the number of a record."""
    yield select(JournalName.block).where(JournalName.kind == "id", JournalName.value == leading(identity))
    drawn, blocks = moment(identity), select(JournalBlock.id)
    if drawn is not None:
        yield blocks.where(JournalBlock.until >= drawn - SLACK, JournalBlock.since <= drawn + SLACK)
    writer, _, seq = identity.rpartition("/")
    if seq.isascii() and seq.isdigit() and len(seq) < 19:
        own = col(JournalBlock.segment).in_(select(Segment.name).where(Segment.writer == writer))
        yield blocks.where(own, JournalBlock.first_seq <= int(seq), JournalBlock.last_seq >= int(seq))


def _stored(session: Session, blocks: Iterable[str]) -> Iterator[JournalBlock]:
    """These in this order, each once: their lines are read only now, and those of a few at a time."""
    left = iter(dict.fromkeys(blocks))
    while some := list(islice(left, AT_ONCE)):
        query = select(JournalBlock).where(col(JournalBlock.id).in_(some))
        found = {stored.id: stored for stored in session.exec(query)}
        yield from (found[one] for one in some if one in found)


def _blocks(wanted: Search) -> Any:
    """Those that may hold what is wanted, by their newest record."""
    query = select(JournalBlock)
    if wanted.since is not None:
        query = query.where(JournalBlock.until >= wanted.since)
    if wanted.until is not None:
        query = query.where(JournalBlock.since < wanted.until)
    if wanted.event.endswith("."):
        query = query.where(_bears("event", col(JournalName.value).startswith(leading(wanted.event), autoescape=True)))
    names = list(wanted.names())
    for name in names[1:]:
        query = query.where(_bears(name[0], col(JournalName.value) == name[1]))
    if not names:
        return query.order_by(desc(JournalBlock.until))
    way = aliased(JournalName)  # in whose order they stand in its index already
    query = query.join(way, col(way.block) == JournalBlock.id).where(way.kind == names[0][0], way.value == names[0][1])
    if wanted.since is not None:  # also here, so that older names are not looked at
        query = query.where(way.until >= wanted.since)
    return query.order_by(desc(way.until))


def _bears(kind: str, value: ColumnElement[bool]) -> ColumnElement[bool]:
    same = (col(JournalName.block) == JournalBlock.id, col(JournalName.until) == JournalBlock.until)
    return exists().where(col(JournalName.kind) == kind, value, *same)


def _begins(event: str, wanted: str) -> bool:
    return wanted.endswith(".") and event.startswith(wanted)
