"""Names for decisions, calls and requests: unique, in the order of time, and cheap to draw.

Each draw from the system lets go of the interpreter's lock, and under load waits to have it back; so the random part of
many is drawn at once, and the part that says the time is written once a millisecond.
"""

from __future__ import annotations

import os
from time import time
from typing import Final

DRAWN: Final = 256
SIZE: Final = 10  # bytes after the time
_VERSION: Final = bytes(0x70 | byte & 0x0F for byte in range(256))
_VARIANT: Final = bytes(0x80 | byte & 0x3F for byte in range(256))

_drawn: Final[list[str]] = []
os.register_at_fork(after_in_child=_drawn.clear)  # two processes must not go on with the same ones
_since, _until, _written = 0.0, 0.0, ""  # a millisecond


def fresh_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7) in hex without hyphens: milliseconds, then 74 random bits.

    By its time the record is found that bears it. Safe between threads, of which one may say another's millisecond.
    """
    if not _since <= time() < _until:
        _tell(int(time() * 1000))
    try:
        return _written + _drawn.pop()  # which is atomic, as is `extend`
    except IndexError:
        _drawn.extend(_draw())
        return fresh_id()


def fresh_mark() -> str:
    """62 random bits in hex, for what is looked for nowhere."""
    return fresh_id()[-16:]


def _tell(milliseconds: int) -> None:
    """Formatting it costs as much as all the rest."""
    global _since, _until, _written
    _since, _until, _written = milliseconds / 1000, (milliseconds + 1) / 1000, f"{milliseconds:012x}"


def _draw() -> list[str]:
    drawn = bytearray(os.urandom(SIZE * DRAWN))
    drawn[0::SIZE] = drawn[0::SIZE].translate(_VERSION)
    drawn[2::SIZE] = drawn[2::SIZE].translate(_VARIANT)
    return drawn.hex(" ", SIZE).split()
