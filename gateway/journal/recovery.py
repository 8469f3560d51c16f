"""What the dead left: calls without an outcome are closed as `unknown`, unfinished lines are cut off and named.

The process that starts continues the dead writer's chain (holding its lock) and seals it, so that a segment tells the
whole story of its calls by itself.
"""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from gateway.journal import Journal
from gateway.journal.ledger import opening, sealing
from gateway.journal.reading import Ending, beginning, first, gist, last, records
from gateway.journal.records import chain, encode
from gateway.journal.segments import Life, SegmentName, segments, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.book import Book
    from gateway.journal.reading import Gist

REASON = "the process ended before the outcome"


class Heir(Journal, Protocol):
    """The journal of the process that settles."""

    @property
    def writer(self) -> str: ...


def settle(directory: Path, key: bytes, journal: Heir, book: Book) -> None:
    """Close what every dead writer left. Raises JournalDown when this process cannot write."""
    lives: list[Life] = []
    for writer, names in sorted(_unsettled(directory, journal.writer).items()):
        life = Life.inherit(directory, writer)
        if life is None:
            continue
        try:
            _settle(directory, key, journal, book, names)
            lives.append(life)
        except OSError as error:
            life.leave()
            journal.note("journal.unsettled", who=journal.writer, writer=writer, reason=error.strerror or "")
    _let_go(lives, booked=not lives or book.settled())


def _let_go(lives: list[Life], *, booked: bool) -> None:
    """Until the table knows of them, the dead are not forgotten: we may be killed too."""
    for life in lives:
        if booked:
            life.end()
        else:
            life.leave()


def _unsettled(directory: Path, own: str) -> dict[str, list[SegmentName]]:
    """Writers with a lock file or with a last segment that may still be written to."""
    by_writer: dict[str, list[SegmentName]] = {path.stem: [] for path in directory.glob("*.alive")}
    locked = set(by_writer)
    for name in segments(directory):
        by_writer.setdefault(name.writer, []).append(name)
    return {
        writer: names
        for writer, names in by_writer.items()
        if writer != own and (writer in locked or (directory / str(names[-1])).stat().st_mode & 0o200)
    }


def _settle(directory: Path, key: bytes, journal: Heir, book: Book, names: list[SegmentName]) -> None:
    if not names:  # it died before its first record
        return
    end = None
    for name in names:
        opened, end = first(directory / str(name)), last(directory / str(name))
        if opened is not None:
            book.opened(name, opened.seq)
        if end is not None and end.event == "journal.sealed":
            book.sealed(name, end.seq, _bytes(end.hash))
    path = directory / str(names[-1])
    if end is None or end.event != "journal.sealed":
        _finish(path, key, journal, book, names[-1])
        return
    path.chmod(0o400)
    if end.open:  # it died between two segments
        _add_segment(directory, key, journal, book, names[-1].next(), end)


def _finish(path: Path, key: bytes, journal: Heir, book: Book, name: SegmentName) -> None:
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
    tail = _Continuation(ending.seq, ending.digest, by=journal.writer)
    if ending.rest:
        tail.add({"event": "journal.torn", **_torn(path, ending)})
    tail.conclude(calls)
    tail.seal(key, name)
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.ftruncate(fd, ending.offset)
        _write(fd, tail.lines)
    finally:
        os.close(fd)
    book.sealed(name, tail.seq, tail.digest)


def _add_segment(directory: Path, key: bytes, journal: Heir, book: Book, name: SegmentName, end: Gist) -> None:
    """The segment that the dead writer was about to open; there at once as a whole, so that it cannot be made twice."""
    tail = _Continuation(end.seq, _bytes(end.hash), by=journal.writer)
    tail.open(key, name, end.open)
    tail.conclude(end.open)
    tail.seal(key, name)
    hidden = directory / f".{name}.new"
    fd = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _write(fd, tail.lines)
    finally:
        os.close(fd)
    hidden.rename(directory / str(name))
    sync_directory(directory)
    book.opened(name, end.seq + 1)
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


def _bytes(digest: str) -> bytes:
    try:
        return bytes.fromhex(digest)
    except ValueError:
        return b""


def _torn(path: Path, ending: Ending) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(ending.offset)
        rest = file.read(ending.rest)
    return {"bytes": len(rest), "sha256": sha256(rest).hexdigest()}


class _Continuation:
    """Lines that continue a dead writer's chain."""

    def __init__(self, seq: int, digest: bytes, by: str) -> None:
        self.seq, self.digest = seq, digest
        self.lines: list[bytes] = []
        self._by = by

    def add(self, fields: dict[str, Any]) -> None:
        self._link(encode({"at": time.time(), **fields, "by": self._by}))

    def open(self, key: bytes, name: SegmentName, calls: list[str]) -> None:
        self._link(opening(key, name, self.seq + 1, self.digest, {"role": "recovery", "open": calls}))

    def conclude(self, calls: list[str]) -> None:
        for call in calls:
            self.add({"event": "call.outcome", "call": call, "outcome": "unknown", "reason": REASON})

    def seal(self, key: bytes, name: SegmentName) -> None:
        self._link(sealing(key, name, self.seq + 1, self.digest, by=self._by, still_open=set()))

    def _link(self, body: bytes) -> None:
        line, self.digest = chain(self.digest, self.seq + 1, body)
        self.seq += 1
        self.lines.append(line)


def _write(fd: int, lines: list[bytes]) -> None:
    """All of it on the disk, and read-only, which says that it is settled."""
    data = b"".join(lines)
    while data:
        data = data[os.write(fd, data) :]
    os.fdatasync(fd)
    os.fchmod(fd, 0o400)
