"""The files of the journal: how they are called, opened, locked, written and synced.

A writer holds a lock on a file of its own for as long as it lives; the kernel releases it whatever kills the process,
so a segment without a seal whose writer's lock can be had was left by the dead.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEGMENT_LIMIT = 64 * 1024 * 1024
_NAME = re.compile(r"(?P<writer>[A-Za-z0-9][A-Za-z0-9-]*)\.(?P<number>\d{6})\.jsonl")


@dataclass(frozen=True, slots=True)
class Disk:
    """The three acts that can fail in ways which matter; tests pass ones that do."""

    write: Callable[[int, bytes], int] = os.write
    sync: Callable[[int], None] = os.fdatasync
    open: Callable[[Path, int, int], int] = os.open


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """Whose segment it is and which; as a string, the name of its file."""

    writer: str
    number: int

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        found = _NAME.fullmatch(name)
        return cls(found["writer"], int(found["number"])) if found else None

    def __str__(self) -> str:
        return f"{self.writer}.{self.number:06d}.jsonl"

    def next(self) -> SegmentName:
        return SegmentName(self.writer, self.number + 1)


def new_writer() -> str:
    """A name that no other process has or had: host, process and chance."""
    host = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname().split(".")[0])[:24] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def place_of(directory: Path) -> str:
    """What the table of segments calls this directory, where several machines write to one database."""
    return f"{socket.gethostname()}:{directory.resolve()}"


def segments(directory: Path) -> list[SegmentName]:
    """All segments, by writer and number."""
    return sorted(name for entry in os.scandir(directory) if (name := SegmentName.parse(entry.name)))


class SegmentFile:
    """An open segment. Appears under its name only when its first record is on the disk."""

    def __init__(self, directory: Path, name: SegmentName, disk: Disk) -> None:
        self.path = directory / str(name)
        self.name = name
        self.size = 0
        self._disk = disk
        self._write = disk.write
        self._closing = threading.Lock()  # a sync under way must not find its descriptor reused
        self._hidden = directory / f".{name}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = disk.open(self._hidden, flags, 0o600)

    def publish(self) -> None:
        self.sync()
        self._hidden.rename(self.path)
        sync_directory(self.path.parent)

    def write(self, lines: bytes) -> None:
        """All of it, or OSError; after an error nothing may be appended any more, and none of it counts."""
        before = self.size
        self.size += len(lines)
        try:
            self._write_all(lines)
        except OSError:
            self._cut(before)
            raise

    def _write_all(self, left: bytes) -> None:
        while left:
            try:
                written = self._write(self._fd, left)
            except InterruptedError:
                continue
            if written == len(left):
                return
            if written <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            left = left[written:]

    def _cut(self, size: int) -> None:
        """Takes away what had been written of lines that are refused: whole ones among them would look like records."""
        with suppress(OSError):
            os.ftruncate(self._fd, size)

    def sync(self) -> None:
        with self._closing:
            if self._fd >= 0:
                self._disk.sync(self._fd)

    def finish(self) -> None:
        """Close a sealed segment and take the right to write away, as a sign to all who look."""
        with self._closing, suppress(OSError):
            os.fchmod(self._fd, 0o400)
        self.close()

    def close(self) -> None:
        with self._closing:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def discard(self) -> None:
        """Undo an opening that failed."""
        self.close()
        with suppress(OSError):
            self._hidden.unlink()


def sync_directory(directory: Path) -> None:
    """A new name is on the disk only when its directory is."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Life:
    """The lock that says its writer is alive."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    @classmethod
    def begin(cls, directory: Path, writer: str) -> Life:
        """Locked before it has its name, so that nobody ever finds it without the lock."""
        path = directory / f"{writer}.alive"
        hidden = directory / f".{writer}.alive.new"
        fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        hidden.rename(path)
        return cls(path, fd)

    @classmethod
    def inherit(cls, directory: Path, writer: str) -> Life | None:
        """The lock of a dead writer; None while it lives (or while somebody else settles its affairs)."""
        path = directory / f"{writer}.alive"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if _locked(fd):
            return cls(path, fd)
        time.sleep(0.01)  # somebody may only have asked whether it is alive
        if _locked(fd):
            return cls(path, fd)
        os.close(fd)
        return None

    def end(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        self.leave()

    def leave(self) -> None:
        """Give the lock up, with the file still there to say that something is unsettled."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def is_alive(directory: Path, writer: str) -> bool:
    """Whether somebody holds the writer's lock."""
    path = directory / f"{writer}.alive"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        return not _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
