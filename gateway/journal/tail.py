"""The newest lines of all writers, and those to come; read from the files, needs nothing else."""

from __future__ import annotations

import heapq
import time
from typing import TYPE_CHECKING

from gateway.journal.reading import gist
from gateway.journal.records import BadLine
from gateway.journal.segments import segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOK = 0.2  # seconds between two looks at the files
CHUNK = 64 * 1024
SLACK = 2.0  # seconds by which the time of a file may lag behind the time in its records


FRAMES = frozenset({"journal.opened", "journal.sealed"})  # of each segment, which a command has for itself


class Tail:
    """`newest` first, then `following` goes on where it ended. Without `frames`, only what happened is told."""

    def __init__(self, directory: Path, *, frames: bool = True) -> None:
        self._directory = directory
        self._frames = frames
        self._read: dict[str, int] = {}  # by segment, the offset up to which whole lines were seen

    def newest(self, number: int) -> list[bytes]:
        """The last lines of all segments together, in the order of their times."""
        kept: list[tuple[float, int, bytes]] = []
        for changed, path in sorted(self._files(), reverse=True):
            size = path.stat().st_size
            if len(kept) >= number and kept and changed + SLACK < kept[0][0]:
                self._read[path.name] = size
                continue
            lines, self._read[path.name] = last_lines(path, size, number + len(FRAMES))
            for line in filter(self._is_told, lines):
                heapq.heappush(kept, (_at(line), len(kept), line))
                if len(kept) > number:
                    heapq.heappop(kept)
        return [line for _at_, _order, line in sorted(kept)]

    def following(self) -> Iterator[bytes]:
        """For ever; blocks."""
        while True:
            new = [line for _changed, path in self._files() for line in self._new(path) if self._is_told(line)]
            yield from sorted(new, key=_at)
            time.sleep(LOOK)

    def _is_told(self, line: bytes) -> bool:
        if self._frames:
            return True
        try:
            return gist(line).event not in FRAMES
        except BadLine:
            return True

    def _files(self) -> list[tuple[float, Path]]:
        found = []
        for name in segments(self._directory):
            path = self._directory / str(name)
            try:
                found.append((path.stat().st_mtime, path))
            except FileNotFoundError:
                continue  # pruned between the two looks
        return found

    def _new(self, path: Path) -> list[bytes]:
        start = self._read.get(path.name, 0)
        with path.open("rb") as file:
            file.seek(start)
            whole, _, _unfinished = file.read().rpartition(b"\n")
        if not whole:
            return []
        self._read[path.name] = start + len(whole) + 1
        return whole.split(b"\n")


def last_lines(path: Path, size: int, number: int) -> tuple[list[bytes], int]:
    """The last whole lines of a file, and the offset after them."""
    start, tail = size, b""
    with path.open("rb") as file:
        while start > 0 and tail.count(b"\n") <= number:
            start = max(0, start - CHUNK)
            file.seek(start)
            tail = file.read(size - start)
    whole, _, unfinished = tail.rpartition(b"\n")
    lines = whole.split(b"\n")[-number:] if whole else []
    return lines, size - len(unfinished)


def _at(line: bytes) -> float:
    try:
        return gist(line).at
    except BadLine:
        return 0.0
