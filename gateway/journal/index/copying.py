"""Copies the journal into the database for search.

How far a file is copied stands in its row of the table of segments, moved in the same transaction: nothing is lost or
doubled, whoever does it and whenever it is killed. Of what others have written only records that fit the chain are
copied; where it stands is read from the last record that was. The driver's own statements are used, and one row holds
many records (`blocks`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from gateway.journal.index.blocks import block, facts
from gateway.journal.reading import Ending, beginning, digest_before, first, some
from gateway.journal.segments import SegmentName

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal import Journal
    from gateway.journal.index.blocks import Block
    from registry.database import Database

BATCH: Final = 256 * 1024  # bytes, some 600 records: reading them is one to two milliseconds of the interpreter
_BEHIND: Final = "SELECT name, indexed, indexed_seq FROM segment WHERE pruned_at IS NULL"
_PLACE: Final = "SELECT indexed FROM segment WHERE name = ? AND pruned_at IS NULL"
_MOVE: Final = "UPDATE segment SET indexed = ?, indexed_seq = ? WHERE name = ?"
_COLUMNS: Final = "id, segment, first_seq, last_seq, since, until, lines"
_BLOCK: Final = f"INSERT INTO journal_block ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_NAME: Final = "INSERT INTO journal_name (kind, value, until, block) VALUES (?, ?, ?, ?)"


class Place(NamedTuple):
    """How far a segment is copied: bytes of its file, and the number of the last record of them."""

    name: str
    offset: int
    seq: int


class Batch(NamedTuple):
    """What to store, how many bytes of the file it is, and where they end."""

    block: Block
    size: int
    end: int


class Indexer:
    """`catch_up` before a search; `step` again and again for whoever copies all the time.

    `own` is the journal that this process writes.
    """

    def __init__(self, directory: Path, database: Database, own: Journal | None = None) -> None:
        self._directory = directory
        self._database = database
        self._own = own
        self._stuck: dict[str, int] = {}  # at this size nothing of it could be copied

    def catch_up(self) -> None:
        """Copy all there is now; what is written meanwhile is somebody else's."""
        ends = {place.name: self._size(place.name) for place in self._behind()}
        while places := [place for place in self._behind() if place.offset < ends.get(place.name, 0)]:
            for place in places:
                if self._copy(place) is None:
                    ends.pop(place.name, None)  # nor is it tried again while it grows

    def step(self, writer: str = "") -> float:
        """Copy one batch of each segment (of one writer) that has something new.

        Gives by how many seconds what was copied is behind where there may be more, and 0 where there is not.
        """
        now = time.time()
        whole = [batch for batch in map(self._copy, self._behind(writer)) if batch and batch.size >= BATCH]
        return max((max(now - batch.block.until, 0.001) for batch in whole), default=0.0)

    def waiting(self, writer: str = "") -> float:
        """The age in seconds of the oldest record that is not copied yet; 0 without one.

        Of one writer also where nothing fits that could be copied; of all, what was damaged long ago is no news.
        """
        return max(map(self._age, self._behind(writer, stuck=bool(writer))), default=0.0)

    def writers(self) -> set[str]:
        """Of whose segments something is not copied yet."""
        return {place.name.partition(".")[0] for place in self._behind()}

    def _behind(self, writer: str = "", *, stuck: bool = False) -> list[Place]:
        """The segments whose file is longer than what was copied; also those that are `stuck` only on request."""
        given = (writer,) if writer else ()
        statement = _BEHIND + (" AND writer = ?" if writer else "") + " ORDER BY position"
        with self._database.driver() as cursor:
            places = [Place(*row) for row in cursor.execute(self._statement(statement), given).fetchall()]
        sizes = ((place, self._size(place.name)) for place in places)
        longer = ((place, size) for place, size in sizes if size > place.offset)
        return [place for place, size in longer if stuck or self._stuck.get(place.name) != size]

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
        return time.time() - facts([line])[0].at if line.endswith(b"\n") else 0.0

    def _copy(self, place: Place) -> Batch | None:
        size = self._size(place.name)
        batch = self._read(place)
        if batch is not None:
            self._store(place, batch)
        elif self._counts(place.name) is None:  # of our own it may be written, and count in a moment
            self._stuck[place.name] = size
        return batch

    def _counts(self, name: str) -> int | None:
        """Up to which number records of a segment of our own count."""
        own = self._own
        return own.written if own is not None and name.startswith(f"{own.writer}.") else None

    def _read(self, place: Place) -> Batch | None:
        """The records that follow what was copied; None where none does that fits."""
        name, path = SegmentName.parse(place.name), self._directory / place.name
        try:
            ending = _ending(path, place)
            number = ending.seq + 1 if ending else 0
            lines = some(path, ending, BATCH, self._counts(place.name)) if name and ending else []
        except OSError:
            return None
        if not (name and ending and lines):
            return None
        return Batch(block(name, number, lines), ending.offset - place.offset, ending.offset)

    def _store(self, place: Place, batch: Batch) -> None:
        """Unless somebody else has copied it meanwhile, the segment was pruned, or a write failed and was cut off."""
        lock = " FOR UPDATE" if self._database.is_postgresql else ""
        *row, names = batch.block
        with self._database.driver() as cursor:
            if not self._database.is_postgresql:
                cursor.execute("BEGIN IMMEDIATE")
            copied = cursor.execute(self._statement(_PLACE) + lock, (place.name,)).fetchone()
            if copied is None or copied[0] != place.offset or self._size(place.name) < batch.end:
                return
            cursor.execute(self._statement(_BLOCK), row)
            leading = [(*name, batch.block.until, batch.block.id) for name in names]
            cursor.executemany(self._statement(_NAME), leading)
            cursor.execute(self._statement(_MOVE), (batch.end, batch.block.last_seq, place.name))

    def _statement(self, text: str) -> str:
        return text.replace("?", "%s") if self._database.is_postgresql else text


def _ending(path: Path, place: Place) -> Ending | None:
    """Where the chain stands after what was copied of the file; None where that cannot be read from it."""
    if not place.offset:
        opened = first(path)
        return beginning(opened) if opened else None
    digest = digest_before(path, place.offset)
    return Ending(seq=place.seq, digest=digest, offset=place.offset) if digest else None
