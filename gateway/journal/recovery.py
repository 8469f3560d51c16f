"""What the dead left: calls without an outcome are closed as `unknown`, unfinished lines are cut off and named.

The process that starts continues the dead writer's chain (holding its lock) and seals it, so that a segment tells the
whole story of its calls by itself.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.journal.ledger import sealing
from gateway.journal.reading import Ending, beginning, first, gist, last, records
from gateway.journal.records import chain, encode
from gateway.journal.segments import Life, SegmentName, segments

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.book import Book
    from gateway.journal.writer import FileJournal

REASON = "the process ended before the outcome"


def settle(directory: Path, key: bytes, journal: FileJournal, book: Book) -> None:
    """Close what every dead writer left. Raises JournalDown when this process cannot write."""
    for writer, names in sorted(_unsettled(directory, journal.writer).items()):
        life = Life.inherit(directory, writer)
        if life is None:
            continue
        try:
            _settle(directory, key, journal, book, names)
            life.end()
        except OSError as error:
            life.leave()
            journal.note("journal.unsettled", who=journal.writer, writer=writer, reason=error.strerror or "")


def _unsettled(directory: Path, own: str) -> dict[str, list[SegmentName]]:
    """Writers with a lock file or with a last segment that may still be written to."""
    by_writer: dict[str, list[SegmentName]] = {}
    for name in segments(directory):
        by_writer.setdefault(name.writer, []).append(name)
    locked = {path.stem for path in directory.glob("*.alive")}
    return {
        writer: names
        for writer, names in by_writer.items()
        if writer != own and (writer in locked or (directory / str(names[-1])).stat().st_mode & 0o200)
    }


def _settle(directory: Path, key: bytes, journal: FileJournal, book: Book, names: list[SegmentName]) -> None:
    for name in names:
        opened = first(directory / str(name))
        if opened is not None:
            book.opened(name, opened.seq)
    path = directory / str(names[-1])
    end = last(path)
    if end is not None and end.event == "journal.sealed":
        for call in end.open:  # it died between two segments
            journal.conclude(call, "unknown", reason=REASON, writer=names[-1].writer)
        path.chmod(0o400)
        return
    _finish(path, key, journal, book, names[-1])


def _finish(path: Path, key: bytes, journal: FileJournal, book: Book, name: SegmentName) -> None:
    opened = first(path)
    ending = beginning(opened) if opened else Ending(0, b"")
    calls = _open_calls(path, ending)
    if opened is None or (ending.bad and not _is_last_line(path, ending)):
        # Somebody changed it: not ours to continue. `ostiary audit verify` names the place.
        journal.note("journal.damaged", who=journal.writer, segment=str(name), after=ending.seq, reason=ending.bad)
        for call in calls:
            journal.conclude(call, "unknown", reason=REASON, writer=name.writer)
        path.chmod(0o400)
        return
    tail = _Continuation(path, ending, by=journal.writer)
    if ending.rest:
        tail.add({"event": "journal.torn", **_torn(path, ending)})
    for call in calls:
        tail.add({"event": "call.outcome", "call": call, "outcome": "unknown", "reason": REASON})
    tail.seal(key, name)
    book.sealed(name, tail.seq, tail.digest)


def _open_calls(path: Path, ending: Ending) -> list[str]:
    calls: dict[str, None] = {}
    for record in records(path, ending):
        found = gist(record.line)
        if found.event == "journal.opened":
            calls.update(dict.fromkeys(found.open))
        elif found.event == "call.intent":
            calls[found.call] = None
        elif found.event == "call.outcome":
            calls.pop(found.call, None)
    return list(calls)


def _is_last_line(path: Path, ending: Ending) -> bool:
    with path.open("rb") as file:
        file.seek(ending.offset)
        return b"\n" not in file.read(ending.rest)[:-1]


def _torn(path: Path, ending: Ending) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(ending.offset)
        rest = file.read(ending.rest)
    return {"bytes": len(rest), "sha256": sha256(rest).hexdigest()}


class _Continuation:
    """Appends to a dead writer's segment after its last good record."""

    def __init__(self, path: Path, ending: Ending, by: str) -> None:
        self.seq, self.digest = ending.seq, ending.digest
        self._path = path
        self._offset = ending.offset
        self._by = by
        self._lines: list[bytes] = []

    def add(self, fields: dict[str, Any]) -> None:
        self._link(encode({"at": time.time(), **fields, "by": self._by}))

    def seal(self, key: bytes, name: SegmentName) -> None:
        """Cut what was never finished, write all that was added, and the seal."""
        self._link(sealing(key, name, self.seq + 1, self.digest, by=self._by, still_open=set()))
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.ftruncate(fd, self._offset)
            _write_all(fd, b"".join(self._lines))
            os.fdatasync(fd)
            os.fchmod(fd, 0o400)
        finally:
            os.close(fd)

    def _link(self, body: bytes) -> None:
        line, self.digest = chain(self.digest, self.seq + 1, body)
        self.seq += 1
        self._lines.append(line)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
