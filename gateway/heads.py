"""Heads of HTTP messages, known again by all of their bytes but the digits of the length (RFC 9112 section 2.1)."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\ncontent-length: %d\r"  # so most say it; some with capitals
_CAPITAL: Final = b"\r\nContent-Length: %d\r"
_BEFORE: Final = len(b"\r\ncontent-length: ")
_UNMEASURED: Final = (b"", 0)

Key = TypeVar("Key")
Head = TypeVar("Head")


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

    def keep(self, key: Key, head: Head) -> None:
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = head

    def clear(self) -> None:
        self._kept.clear()


def apart(data: bytes) -> tuple[bytes, int]:
    """The head that `data` begins with, without the digits of its Content-Length, and where its body begins.

    Messages say the same head again and again, but for their length. Nothing at all for a message that is not whole, is
    more than one, or says no length. What is taken away is the length of what follows and nothing else, so two heads of
    which the same is left differ in their length alone.
    """
    start = data.find(END) + 4
    line = _LENGTH % (len(data) - start)
    at = data.find(line, 0, start)
    if at < 0:
        line = _CAPITAL % (len(data) - start)
        at = data.find(line, 0, start)
        if at < 0:
            return _UNMEASURED
    return data[: at + _BEFORE] + data[at + len(line) - 1 : start], start


def ends_plainly(raw: bytes, fields: int) -> bool:
    """Whether a head of so many fields ends for every reader where we say.

    Each of its lines ends with CR and LF, and neither of them is anywhere else: a reader that takes a bare LF for the
    end of a line would otherwise see another end of the head.
    """
    return raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n") == fields + 2
