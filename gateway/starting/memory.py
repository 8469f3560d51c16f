"""Large answers come and go; what they took must go back to the system, or overload leaves a process swollen (P-10)."""

from __future__ import annotations

import ctypes
from typing import Final

MAPPED_FROM: Final = 128 * 1024  # bytes: glibc's own first choice
_M_MMAP_THRESHOLD: Final = -3  # malloc.h


def give_back_large_blocks() -> None:
    """Keep glibc from moving its threshold up (mallopt(3)): blocks of 8 MiB would then lie in a heap full of holes.

    Forty clients that read nothing made 500 MiB of 120 that way. Other C libraries have no such habit, and no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM)
