"""The chain as it grows: each record is linked and handed to the kernel under one lock.

When a write or a sync fails, the segment is left and never written to again, and the record that failed is refused. A
new segment must be open, and on the disk, before anything is recorded again; it says which one it follows and why.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from gateway.journal import JournalDown
from gateway.journal.records import chain, chained, genesis, mark
from gateway.journal.segments import Disk, Life, SegmentFile, SegmentName, new_writer
from gateway.journal.syncing import Syncing

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.book import Book

    Entry = tuple[bytes, str, str]  # a record, and the call that it begins or ends

RETRY = 0.1  # seconds between attempts to open a segment

_ledgers: weakref.WeakSet[Ledger] = weakref.WeakSet()


class Ledger:
    """One writer's segments. `synced` is the number of the last record that is on the disk for certain.

    `held` are records that wait to be written together, each with the call that it begins or ends.
    """

    def __init__(self, directory: Path, key: bytes, book: Book, role: str, disk: Disk, limit: int) -> None:
        self.directory = directory
        self.writer = new_writer()
        self.seq = 0
        self.synced = 0
        self.lost = 0  # how often the disk did not confirm: whoever waited across such a moment was not served
        self.closed = False
        self.syncing = Syncing(self)
        self._key, self._book, self._role, self._disk, self._limit = key, book, role, disk, limit
        self._lock = Lock()
        self._life: Life | None = None
        self._name = SegmentName(self.writer, 0)
        self._segment: SegmentFile | None = None
        self._head = genesis(self.writer)
        self._open: set[str] = set()
        self.held: deque[Entry] = deque()
        self._lost = False  # some were held that could not be written with another record; whoever held them must hear
        self._left: dict[str, Any] = {}  # the segment that failed, for the next one to name
        self._failed = False
        self._retry_at = 0.0
        _ledgers.add(self)

    @property
    def is_open(self) -> bool:
        return self._segment is not None

    @property
    def failed(self) -> bool:
        """A segment was left, or could not be opened, and no new one is open yet."""
        return self._failed

    def append(self, record: bytes, *, opens: str = "", closes: str = "") -> None:
        """Write one record, and whatever is held before it.

        `opens` and `closes` are the call that it begins or ends. Raises JournalDown.
        """
        with self._lock:
            self._write([(record, opens, closes)])

    def hold(self, record: bytes, *, opens: str = "", closes: str = "") -> None:
        """The same, but not written before the next `append` or `release`."""
        self.held.append((record, opens, closes))

    def release(self) -> None:
        """Write what is held, all at once. Raises JournalDown if any of it is lost, here or since it was held."""
        with self._lock:
            try:
                if self._lost:
                    self.held.clear()
                    raise JournalDown("the journal could not be written")
                self._write([])
            finally:
                self._lost = False

    def begin(self) -> None:
        """Open a segment if none is open. Raises JournalDown."""
        with self._lock:
            self._current()

    def sync(self) -> None:
        """Everything written so far is on the disk. Raises JournalDown."""
        with self._lock:
            segment, seq = self._current(), self.seq
        try:
            segment.sync()
        except OSError as error:
            with self._lock:
                if self._segment is segment:
                    self._leave(error, confirmed=False)
            raise JournalDown("the journal's disk does not confirm what was written") from error
        self.synced = max(self.synced, seq)

    def close(self) -> None:
        """Seal the segment. Calls without an outcome stay named by the lock file, for the next process to settle."""
        with self._lock:
            with suppress(JournalDown):
                self._write([])
                if self._segment is not None:
                    self._seal(self._segment)
            self.closed = True
        self.syncing.stop()
        if self._life is not None and (self._left or self._open):
            self._life.leave()
        elif self._life is not None:
            self._life.end()

    def forget(self) -> None:
        """In a forked child: the segment is the parent's."""
        self.closed, self._segment, self._life, self._lock = True, None, None, Lock()
        self.held.clear()

    def _write(self, entries: list[Entry]) -> None:
        held = [self.held.popleft() for _ in range(len(self.held))]
        entries = held + entries
        if not entries:
            return
        lost, self._lost = self._lost, self._lost or bool(held)  # until they are on record
        self._write_to(self._current(), entries)
        self._lost = lost
        if not self.syncing.is_dirty:
            self.syncing.dirty()

    def _write_to(self, segment: SegmentFile, entries: list[Entry]) -> None:
        lines, head = chained(self._head, self.seq + 1, [record for record, _, _ in entries])
        try:
            segment.write(lines)
        except OSError as error:
            self._refuse(segment, error)
        self.seq += len(entries)
        self._head = head
        for _, opens, closes in entries:
            if opens:
                self._open.add(opens)
            elif closes:
                self._open.discard(closes)

    def _refuse(self, segment: SegmentFile, error: OSError) -> NoReturn:
        """The record that failed; its segment is left."""
        self._leave(error, confirmed=_confirms(segment))
        raise JournalDown(f"the journal cannot be written ({error.strerror})") from error

    def _current(self) -> SegmentFile:
        segment = self._segment
        if segment is not None and segment.size >= self._limit:
            self._seal(segment)
            segment = None
        return segment or self._open_next()

    def _open_next(self) -> SegmentFile:
        now = time.monotonic()
        if self.closed or now < self._retry_at:
            raise JournalDown("the journal is closed" if self.closed else "the journal cannot be written")
        self._retry_at = now + RETRY
        try:
            self._life = self._life or Life.begin(self.directory, self.writer)
            segment, digest = self._opened(self._name.next())
        except OSError as error:
            self._failed = True
            self.syncing.dirty()  # which tries again without being asked
            raise JournalDown(f"no segment can be opened in {self.directory} ({error.strerror})") from error
        self._name, self._segment, self._head = segment.name, segment, digest
        self.seq, self._left, self._retry_at = self.seq + 1, {}, 0.0
        self._failed = False
        self._book.opened(segment.name, self.seq)
        return segment

    def _opened(self, name: SegmentName) -> tuple[SegmentFile, bytes]:
        more = {"role": self._role, "open": sorted(self._open), **self._left}
        line, digest = chain(self._head, self.seq + 1, opening(self._key, name, self.seq + 1, self._head, more))
        segment = SegmentFile(self.directory, name, self._disk)
        try:
            segment.write(line)
            segment.publish()
        except OSError:
            segment.discard()
            raise
        return segment, digest

    def _seal(self, segment: SegmentFile) -> None:
        body = sealing(self._key, segment.name, self.seq + 1, self._head, by=self.writer, still_open=self._open)
        line, digest = chain(self._head, self.seq + 1, body)
        try:
            segment.write(line)
        except OSError as error:
            self._refuse(segment, error)
        try:
            segment.sync()
        except OSError as error:
            self._leave(error, confirmed=False)
            raise JournalDown("the journal's disk does not confirm what was written") from error
        self.seq, self._head, self._segment = self.seq + 1, digest, None
        self.synced = self.seq
        segment.finish()
        self._book.sealed(segment.name, self.seq, digest)

    def _leave(self, error: OSError, *, confirmed: bool) -> None:
        """Not trusted any more: what follows the last good record in it is nobody's word."""
        segment, self._segment, self._failed = self._segment, None, True
        assert segment is not None
        segment.close()
        self._left = {"left": str(segment.name), "left_after": self.seq, "why": error.strerror or type(error).__name__}
        self._left["confirmed"] = self.seq if confirmed else self.synced
        self.lost += not confirmed
        self.syncing.dirty()


def opening(key: bytes, name: SegmentName, seq: int, head: bytes, more: dict[str, Any]) -> bytes:
    """The first record of a segment."""
    fields = {"at": time.time(), "event": "journal.opened", "format": 1, "segment": str(name), "previous": head.hex()}
    return msgspec.json.encode(fields | more | {"mark": mark(key, "opened", str(name), seq, head)})


def sealing(key: bytes, name: SegmentName, seq: int, head: bytes, *, by: str, still_open: set[str]) -> bytes:
    """The last record of a segment."""
    fields = {"at": time.time(), "event": "journal.sealed", "segment": str(name), "by": by, "open": sorted(still_open)}
    return msgspec.json.encode(fields | {"mark": mark(key, "sealed", str(name), seq, head)})


def _confirms(segment: SegmentFile) -> bool:
    """Whether the disk has at least what was written before the write that failed."""
    try:
        segment.sync()
    except OSError:
        return False
    return True


def _after_fork() -> None:
    for ledger in list(_ledgers):
        ledger.forget()


os.register_at_fork(after_in_child=_after_fork)
