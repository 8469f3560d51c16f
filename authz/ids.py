"""Names for decisions, calls and requests: unique, in the order of time, and cheap to draw.

Each draw from the system lets go of the interpreter's lock, and under load waits to have it back; so the random part of
many is drawn at once.
"""

from __future__ import annotations

import os
from time import time_ns
from typing import Final

DRAWN: Final = 256
SIZE: Final = 10  # bytes after the time

_drawn: Final[list[str]] = []
os.register_at_fork(after_in_child=_drawn.clear)  # two processes must not go on with the same ones


def fresh_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7) in hex without hyphens: milliseconds, then 74 random bits.

    By its time the record is found that bears it. Safe between threads: `pop` and `extend` of a list are atomic.
    """
    try:
        return f"{time_ns() // 1_000_000:012x}{_drawn.pop()}"
    except IndexError:
        _drawn.extend(_draw())
        return fresh_id()


def _draw() -> list[str]:
    drawn = bytearray(os.urandom(SIZE * DRAWN))
    drawn[0::SIZE] = bytes(0x70 | byte & 0x0F for byte in drawn[0::SIZE])  # the version
    drawn[2::SIZE] = bytes(0x80 | byte & 0x3F for byte in drawn[2::SIZE])  # the variant
    return drawn.hex(" ", SIZE).split()
