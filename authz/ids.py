"""Names for decisions, calls and requests: random, and cheap to draw.

Each draw from the system lets go of the interpreter's lock, and under load waits to have it back; so many are drawn at
once.
"""

from __future__ import annotations

import os
from typing import Final

DRAWN: Final = 256
SIZE: Final = 16  # bytes

_drawn: Final[list[str]] = []
os.register_at_fork(after_in_child=_drawn.clear)  # two processes must not go on with the same ones


def fresh_id() -> str:
    """128 random bits in hex. Safe between threads: `pop` and `extend` of a list are atomic."""
    try:
        return _drawn.pop()
    except IndexError:
        _drawn.extend(os.urandom(SIZE * DRAWN).hex(" ", SIZE).split())
        return fresh_id()
