"""Copies the journal into the database for search. Who copies all the time is a process of its own: `copier`.

How far a file is copied stands in its row of the table of segments, moved in the same transaction: nothing is lost or
doubled, whoever does it and whenever it is killed. Only records that fit the chain are copied; where it stands is read
from the last record that was. The driver's own statements are used: rows come by the hundred, and the process that
copies knows no more of a database.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import msgspec

from gateway.journal.reading import Ending, beginning, digest_before, fields, first, records
from gateway.journal.records import BadLine
from gateway.journal.segments import SegmentName

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gateway.journal.records import Record

    Row = tuple[str | float, ...]

BATCH: Final = 800  # records: some 20 ms in which nobody else can write to SQLite; half as many cost a third more each
_NAMES: Final = '"id", "at", "event", "call", "decision", "segment", "principal", "server", "object", "outcome", "line"'
_BEHIND: Final = "SELECT name, indexed, indexed_seq FROM segment WHERE pruned_at IS NULL ORDER BY position"
_PLACE: Final = "SELECT indexed FROM segment WHERE name = ? AND pruned_at IS NULL"
_MOVE: Final = "UPDATE segment SET indexed = ?, indexed_seq = ? WHERE name = ?"
_INSERT: Final = f"INSERT INTO journal_entry ({_NAMES}) VALUES ({', '.join('?' * 11)})"  # noqa: S608


class Place(NamedTuple):
    """How far a segment is copied: bytes of its file, and the number of the last record of them."""

    name: str
    offset: int
    seq: int


class Store(Protocol):
    """Where copies are kept: a `Database`, or the little of one that a copier has."""

    @property
    def is_postgresql(self) -> bool: ...

    def driver(self) -> AbstractContextManager[Any]:
        """The driver's own cursor; what is done with it counts when the block ends."""


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


class Batch(NamedTuple):
    """Rows to store, and where the segment is copied to with them."""

    rows: list[Row]
    end: int
    seq: int


_found = msgspec.json.Decoder(_Found)


class Indexer:
    """`catch_up` before a search; `step` again and again for whoever copies all the time.

    `through` calls what reads a batch: by a thread that gives way to others, for one.
    """

    def __init__(
        self,
        directory: Path,
        database: Store,
        through: Callable[[Callable[[], Batch | None]], Batch | None] = lambda read: read(),
    ) -> None:
        self._directory = directory
        self._database = database
        self._through = through
        self._stuck: dict[str, int] = {}  # at this size nothing of it could be copied

    def catch_up(self) -> None:
        """Copy all there is now; what is written meanwhile is somebody else's."""
        ends = {place.name: self._size(place.name) for place in self._behind()}
        while places := [place for place in self._behind() if place.offset < ends.get(place.name, 0)]:
            for place in places:
                self._copy(place)

    def step(self) -> bool:
        """Copy one batch of each segment that has something new; gives whether there may be more."""
        copied = [self._copy(place) for place in self._behind()]
        return BATCH in copied

    def waiting(self, matters: Callable[[str], bool] = lambda _name: True) -> float:
        """The age in seconds of the oldest record that is not copied yet, of segments that matter; 0 without one."""
        ages = (self._age(place) for place in self._behind() if matters(place.name))
        return max(ages, default=0.0)

    def _behind(self) -> list[Place]:
        """The segments whose file is longer than what was copied."""
        with self._database.driver() as cursor:
            places = [Place(*row) for row in cursor.execute(_BEHIND).fetchall()]
        sizes = ((place, self._size(place.name)) for place in places)
        return [place for place, size in sizes if size > place.offset and self._stuck.get(place.name) != size]

    def _size(self, name: str) -> int:
        try:
            return (self._directory / name).stat().st_size
        except OSError:
            return 0

    def _age(self, place: Place) -> float:
        try:
            with (self._directory / place.name).open("rb") as file:
                file.seek(place.offset)
                line = file.readline()
        except OSError:
            return 0.0
        return time.time() - _columns(line).at if line.endswith(b"\n") else 0.0

    def _copy(self, place: Place) -> int:
        size = self._size(place.name)
        batch = self._through(lambda: self._read(place))
        if batch is None:
            self._stuck[place.name] = size
            return 0
        self._store(place, batch)
        return len(batch.rows)

    def _read(self, place: Place) -> Batch | None:
        """The records that follow what was copied; None where none does that fits."""
        name, path = SegmentName.parse(place.name), self._directory / place.name
        try:
            ending = _ending(path, place)
            found = list(islice(records(path, ending), BATCH)) if ending else []
        except OSError:
            return None
        if name is None or not found:
            return None
        return Batch([_row(name, record) for record in found], found[-1].end, found[-1].seq)

    def _store(self, place: Place, batch: Batch) -> None:
        """Unless somebody else has copied it meanwhile, or the segment was pruned."""
        postgresql = self._database.is_postgresql
        with self._database.driver() as cursor:
            if not postgresql:
                cursor.execute("BEGIN IMMEDIATE")
            lock = " FOR UPDATE" if postgresql else ""
            found = cursor.execute(self._statement(_PLACE) + lock, (place.name,)).fetchone()
            if found is None or found[0] != place.offset:
                return
            if postgresql:
                _pour(cursor, batch.rows)
            else:
                cursor.executemany(_INSERT, batch.rows)
            cursor.execute(self._statement(_MOVE), (batch.end, batch.seq, place.name))

    def _statement(self, text: str) -> str:
        return text.replace("?", "%s") if self._database.is_postgresql else text


def _pour(cursor: Any, rows: list[Row]) -> None:
    with cursor.copy(f"COPY journal_entry ({_NAMES}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _ending(path: Path, place: Place) -> Ending | None:
    """Where the chain stands after what was copied of the file; None where that cannot be read from it."""
    if not place.offset:
        opened = first(path)
        return beginning(opened) if opened else None
    digest = digest_before(path, place.offset)
    return Ending(seq=place.seq, digest=digest, offset=place.offset) if digest else None


def _row(name: SegmentName, record: Record) -> Row:
    found, text = _columns(record.line), record.line.decode()
    row = (f"{name.writer}/{record.seq}", found.at, found.event, found.call, found.decision, str(name), found.who,
           found.server, found.object, found.outcome, text)  # fmt: skip
    if "\\u0000" not in text:
        return row
    return tuple(value.replace("\0", "\ufffd") if isinstance(value, str) else value for value in row)  # PostgreSQL


def _columns(line: bytes) -> _Found:
    try:
        return _found.decode(line)
    except msgspec.DecodeError:  # a fact that bears one of our names with another meaning
        found = _fields(line)
    texts = {key: found[key] for key in _Found.__struct_fields__[1:] if isinstance(found.get(key), str)}
    return _Found(at=float(found.get("at") or 0), **texts)


def _fields(line: bytes) -> dict[str, Any]:
    try:
        return fields(line)
    except BadLine:
        return {}
