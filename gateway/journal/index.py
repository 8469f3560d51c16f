"""Copies the journal into the database for search, by one process, in small batches, while there is little else to do.

How far a file is copied stands in its row of the table of segments, moved in the same transaction: nothing is lost or
doubled, whoever does it. Only records that fit the chain are copied.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Table, insert
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from gateway.journal.reading import Ending, beginning, fields, first, records
from gateway.journal.segments import SegmentName
from registry.tables import JournalEntry, Segment

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.records import Record
    from registry.database import Database

BATCH = 150
PAUSE = 0.1  # seconds between batches: some 1,500 records a second, and a few percent of a core
IDLE = 1.0
BUSY = 0.25  # of a core: a process that uses more has calls to answer, and they need the interpreter more than we do
BUSY_PAUSE = 4.0  # whoever searches meanwhile catches up first
REMEMBERED = 64  # segments
_entries: Table = JournalEntry.__table__  # type: ignore[attr-defined]


class _Found(msgspec.Struct):
    """The members of a record that have a column of their own."""

    at: float = 0.0
    event: str = ""
    who: str = ""
    call: str = ""
    decision: str = ""
    server: str = ""
    object: str = ""
    outcome: str = ""


_found = msgspec.json.Decoder(_Found)


class Indexer:
    """`run` for as long as the gateway serves, in one of its processes; `catch_up` before a search."""

    def __init__(self, directory: Path, database: Database) -> None:
        self._directory = directory
        self._database = database
        self._endings: dict[str, Ending] = {}  # where we are, so that a batch does not begin by reading it all again
        self._stuck: dict[str, int] = {}  # at this size nothing of it could be copied

    async def run(self) -> None:
        pause, used = IDLE, time.process_time()
        while True:
            await asyncio.sleep(pause)
            before, used = used, time.process_time()
            busy = used - before > BUSY * pause
            try:
                copied = await asyncio.to_thread(self.step)
            except (SQLAlchemyError, OSError):
                copied = 0  # the database or a file is away: it is asked again
            pause = BUSY_PAUSE if busy else PAUSE if copied else IDLE

    def catch_up(self) -> None:
        """Copy all there is."""
        while self.step():
            pass

    def step(self) -> int:
        """Copy one batch of the first segment that has something new; gives how many records it was."""
        for name in self._behind():
            copied = self._copy(name)
            if copied:
                return copied
        return 0

    def _behind(self) -> list[str]:
        """The segments whose file is longer than what was copied."""
        with self._database.read() as session:
            rows = session.exec(select(Segment.name, Segment.indexed).where(Segment.pruned_at == None)).all()  # noqa: E711
        sizes = ((name, self._size(name), indexed) for name, indexed in rows)
        return [name for name, size, indexed in sizes if size > indexed and self._stuck.get(name) != size]

    def _size(self, name: str) -> int:
        try:
            return (self._directory / name).stat().st_size
        except OSError:
            return 0

    def _copy(self, name: str) -> int:
        size = self._size(name)
        with self._database.change() as session:
            row = session.exec(select(Segment).where(Segment.name == name).with_for_update()).one()
            ending = self._ending(row)
            batch = _batch(self._directory / name, ending) if ending else []
            if batch:
                self._store(session, row, batch)
            else:
                self._stuck[name] = size
            return len(batch)

    def _ending(self, row: Segment) -> Ending | None:
        """Where the chain stands after what was copied of the file."""
        known = self._endings.get(row.name)
        if known is None or known.offset != row.indexed:
            if len(self._endings) > REMEMBERED:
                self._endings.clear()
            known = self._walked(row)
            if known is not None:
                self._endings[row.name] = known
        return known

    def _walked(self, row: Segment) -> Ending | None:
        opened = first(self._directory / row.name)
        if opened is None:
            return None
        ending = beginning(opened)
        if row.indexed:
            for record in records(self._directory / row.name, ending):
                if record.end >= row.indexed:
                    break
        return ending

    def _store(self, session: Session, row: Segment, batch: list[Record]) -> None:
        name = SegmentName.parse(row.name)
        assert name is not None
        session.connection().execute(insert(_entries), [_entry(name, record) for record in batch])
        row.indexed, row.indexed_seq = batch[-1].end, batch[-1].seq
        session.add(row)


def _batch(path: Path, ending: Ending) -> list[Record]:
    batch: list[Record] = []
    for record in records(path, ending):
        batch.append(record)
        if len(batch) >= BATCH:
            break
    return batch


def _entry(name: SegmentName, record: Record) -> dict[str, Any]:
    found = _columns(record.line)
    return {
        "id": f"{name.writer}/{record.seq}",
        "at": found.at,
        "segment": str(name),
        "principal": found.who,
        "line": record.line.decode(),
        "event": found.event,
        "call": found.call,
        "decision": found.decision,
        "server": found.server,
        "object": found.object,
        "outcome": found.outcome,
    }


def _columns(line: bytes) -> _Found:
    try:
        return _found.decode(line)
    except msgspec.ValidationError:  # a fact that bears one of our names with another meaning
        found = fields(line)
    texts = {key: found[key] for key in _Found.__struct_fields__[1:] if isinstance(found.get(key), str)}
    return _Found(at=float(found.get("at") or 0), **texts)
