"""The table of segments: what should be there, chained in the order of opening, so that a missing file is named.

Rows are written by a thread of their own: the path of a call never waits for the database. A database that is away
delays the rows; the files are the truth.
"""

from __future__ import annotations

import time
from hashlib import sha256
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, desc, select

from registry.tables import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.journal.segments import SegmentName
    from registry.database import Database

PATIENCE = 5.0  # seconds that a closing process gives its rows
RETRY = 1.0
_BOOK_LOCK = 0x6F737469  # of PostgreSQL's advisory locks: one who appends at a time


def link(row: Segment) -> str:
    """What chains a row to the one before it."""
    facts = f"{row.position}\0{row.name}\0{row.writer}\0{row.number}\0{row.first_seq}\0{row.opened_at!r}"
    place = f"\0{row.place}" if row.place else ""
    return sha256(f"{row.previous}\0{facts}{place}".encode()).hexdigest()


class Book:
    """Writes rows in the order in which it is told; does nothing without a database.

    `place` is where the segments are, for a database that has those of other machines too.
    """

    def __init__(self, database: Database | None, place: str = "") -> None:
        self._database = database
        self._place = place
        self._entries: SimpleQueue[Callable[[Session], None] | None] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._hurry = Event()

    def opened(self, name: SegmentName, first_seq: int) -> None:
        at = time.time()
        self._put(lambda session: enter(session, name, first_seq, at, self._place))

    def sealed(self, name: SegmentName, last_seq: int, head: bytes) -> None:
        at = time.time()
        self._put(lambda session: _seal(session, name, last_seq, head, at))

    def settled(self) -> bool:
        """Waits until all that was told so far is written; False when the database takes too long."""
        if self._database is None:
            return True
        done = Event()
        self._put(lambda _session: done.set())
        return done.wait(PATIENCE)

    def close(self) -> None:
        """Gives what is still to be written a few seconds."""
        thread = self._thread
        if thread is None:
            return
        self._entries.put(None)
        thread.join(PATIENCE)
        self._hurry.set()

    def _put(self, entry: Callable[[Session], None]) -> None:
        if self._database is None:
            return
        self._entries.put(entry)
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, args=(self._database,), name="journal-book", daemon=True)
                self._thread.start()

    def _run(self, database: Database) -> None:
        for entry in iter(self._entries.get, None):
            while not _written(database, entry) and not self._hurry.wait(RETRY):
                pass


def enter(session: Session, name: SegmentName, first_seq: int, at: float, place: str = "") -> None:
    """A row for a segment that was opened, unless it has one."""
    if session.get(Segment, str(name)) is not None:
        return
    before = session.exec(select(Segment).order_by(desc(Segment.position)).limit(1)).first()
    position, previous = (before.position + 1, before.link) if before else (1, "")
    row = Segment(
        name=str(name), writer=name.writer, number=name.number, first_seq=first_seq, opened_at=at,
        place=place, position=position, previous=previous,
    )  # fmt: skip
    row.link = link(row)
    session.add(row)


def _seal(session: Session, name: SegmentName, last_seq: int, head: bytes, at: float) -> None:
    row = session.get(Segment, str(name))
    if row is not None and row.sealed_at is None:
        row.last_seq, row.head, row.sealed_at = last_seq, head.hex(), at
        session.add(row)


def _written(database: Database, entry: Callable[[Session], None]) -> bool:
    try:
        with database.change() as session:
            if database.is_postgresql:
                session.connection().execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _BOOK_LOCK})
            entry(session)
    except SQLAlchemyError:
        return False
    return True
