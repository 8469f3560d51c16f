"""An event stream taken apart (WHATWG HTML, server-sent events, "interpreting an event stream")."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BOM = b"\xef\xbb\xbf"
NOISE_MOST = 64 * 1024  # bytes that say nothing; of a comment each second to keep a way open, half an hour
NOISE_TIME = 60.0  # seconds within which there may not be as many again


class FrameTooLarge(Exception):
    """One event holds more bytes than may be held."""


class StreamOfNothing(FrameTooLarge):
    """Comments and empty lines without end, which cost as much to read as what says something (T-72)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its data lines joined, the id that a reader would resume from, and what kind it is said to be."""

    data: bytes
    id: bytes = b""
    kind: bytes = b""


class Frames:
    """Feed it pieces as they come, cut anywhere; it gives whole events, each at most `limit` bytes."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._beside = 0  # bytes of lines that an event has besides its data, as long as it has none
        self._noise = 0
        self._noisy_at = -NOISE_TIME
        self._rest = bytearray()  # a line that has not ended yet
        self._data: list[bytes] = []
        self._size = 0
        self._kind = b""
        self.last_id = b""
        self.retry: float | None = None  # seconds after which the server wants to be asked again
        self._started = False
        self._after_cr = False  # the last piece ended in CR: a LF that follows belongs to it

    def feed(self, piece: bytes) -> list[Frame]:
        """The events that this piece completes."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")
        cut = max(piece.rfind(b"\n"), piece.rfind(b"\r")) + 1
        if not cut:
            self._keep(piece)
            return []
        self._after_cr = piece.endswith(b"\r")
        whole = bytes(self._rest) + piece[:cut]
        self._rest.clear()
        found = self._read(whole)
        self._keep(piece[cut:])
        return found

    def _keep(self, piece: bytes) -> None:
        self._rest += piece
        if len(self._rest) + self._size > self._limit:
            raise FrameTooLarge

    def _read(self, whole: bytes) -> list[Frame]:
        if not self._started:
            self._started = True
            whole = whole.removeprefix(BOM)
        found: list[Frame] = []
        for line in whole.splitlines():  # bytes split at LF, CR and CRLF alone
            if line:
                self._field(line)
            elif self._data:
                found.append(self._dispatch())
            else:
                self._kind = b""
                self._bear(self._beside + 1)
                self._beside = 0
        return found

    def _bear(self, size: int) -> None:
        self._noise += size
        if self._noise > NOISE_MOST:
            now = self._clock()
            if now - self._noisy_at < NOISE_TIME:
                raise StreamOfNothing
            self._noise, self._noisy_at = 0, now

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._limit:
                raise FrameTooLarge
            return
        if name == b"event":
            self._kind = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:9]) / 1000
        else:
            self._bear(len(line) + 1)
            return
        self._beside += len(line) + 1
        if self._beside > NOISE_MOST:
            raise StreamOfNothing

    def _dispatch(self) -> Frame:
        frame = Frame(b"\n".join(self._data), self.last_id, self._kind)
        if not frame.data:
            self._bear(self._beside + 6 * len(self._data))
        self._beside = 0
        self._data = []
        self._kind = b""
        self._size = 0
        return frame
