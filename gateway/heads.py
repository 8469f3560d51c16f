"""Heads of HTTP messages, known again by all of their bytes but the digits of the length (RFC 9112 section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length: %d\r"  # so most say it; some with capitals
_CAPITAL: Final = b"\r\nContent-Length: %d\r"
_BEFORE: Final = len(b"\r\ncontent-length: ")

Key = TypeVar("Key")
Head = TypeVar("Head")


class Outline(msgspec.Struct, frozen=True):
    """A head without the digits of its Content-Length: what stands before them, and what behind."""

    front: bytes
    back: bytes

    def __repr__(self) -> str:
        return f"Outline({len(self)} bytes)"  # a token is in it

    def __len__(self) -> int:
        return len(self.front) + len(self.back)

    def start(self, data: bytes) -> int:
        """Where the body begins, if `data` is this head, with the length of all that follows, and that; otherwise 0."""
        start = data.find(END) + 4
        end = start - len(self.back)
        if not data.startswith(self.front) or not data.startswith(self.back, end):
            return 0
        return start if data[len(self.front) : end] == b"%d" % (len(data) - start) else 0


class Kept(Generic[Key, Head]):
    """What was read before, up to so many; the one kept longest goes first. No repr shows them: tokens are in there."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Key, Head] = {}
        self.find = self._kept.get

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Kept({len(self)})"

    def keep(self, key: Key, head: Head) -> Head | None:
        """Gives the one that had to go for it, if any."""
        gone = self._kept.pop(next(iter(self._kept))) if len(self._kept) >= self._most else None
        self._kept[key] = head
        return gone

    def clear(self) -> Iterable[Head]:
        """Gives those that went."""
        gone, self._kept = self._kept, {}
        self.find = self._kept.get
        return gone.values()


def apart(data: bytes) -> Outline | None:
    """The outline of the head that `data` begins with.

    Messages say the same head again and again, but for their length. None for a message that is not whole, is more than
    one, or says no length. What is left out is the length of what follows and nothing else, so two heads with the same
    outline differ in their length alone.
    """
    start = data.find(END) + 4
    line = _LENGTH % (len(data) - start)
    at = data.find(line, 0, start)
    if at < 0:
        line = _CAPITAL % (len(data) - start)
        at = data.find(line, 0, start)
        if at < 0:
            return None
    return Outline(data[: at + _BEFORE], data[at + len(line) - 1 : start])


def ends_plainly(head: Outline, fields: int) -> bool:
    """Whether a head of so many fields ends for every reader where we say.

    Each of its lines ends with CR and LF, and neither of them is anywhere else: a reader that takes a bare LF for the
    end of a line would otherwise see another end of the head.
    """
    return all(_count(head, end) == fields + 2 for end in (b"\r\n", b"\r", b"\n"))


def _count(head: Outline, end: bytes) -> int:
    return head.front.count(end) + head.back.count(end)
