"""An event stream taken apart (WHATWG HTML, server-sent events, "interpreting an event stream")."""

from __future__ import annotations

from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"


class FrameTooLarge(Exception):
    """One event holds more bytes than may be held."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its data lines joined, the id that a reader would resume from, and what kind it is said to be."""

    data: bytes
    id: bytes = b""
    kind: bytes = b""


class Frames:
    """Feed it pieces as they come, cut anywhere; it gives whole events, each at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
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
        return found

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._limit:
                raise FrameTooLarge
        elif name == b"event":
            self._kind = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value
        elif name == b"retry" and value.isdigit():
            self.retry = int(value[:9]) / 1000

    def _dispatch(self) -> Frame:
        frame = Frame(b"\n".join(self._data), self.last_id, self._kind)
        self._data = []
        self._kind = b""
        self._size = 0
        return frame
