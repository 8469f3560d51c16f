"""Whether the clock on the wall can be believed: it has to go along with the one that only ever goes forward.

Tokens, cut-offs and sessions live by the wall clock. Where it is put back, what had expired would be alive again; where
it jumps ahead, nobody knows which of the two was right. So after a step calls, sign-in and new tokens wait until it is
right again, or until somebody has looked and restarted us (threat T-89). Slow corrections (NTP) are no steps, both
clocks follow them; nor is a sleep, through which the other clock goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from gateway.journal import GATEWAY

if TYPE_CHECKING:
    from gateway.journal import Journal

STEP: Final = 30.0  # seconds, as the leeway of tokens
LOOK: Final = 1.0
MOVED: Final = "The clock of the gateway's machine was moved; an operator must see to it."

_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

log = logging.getLogger("ostiary")


class ClockMoved(Exception):
    """Nothing that ends at a certain time may begin now."""


def _difference() -> float:
    return time.time() - time.clock_gettime(_STEADY)


_begun: float = _difference()  # in the first process, before any worker is forked


def step() -> float:
    """By how many seconds the wall clock was moved since we were started."""
    return _difference() - _begun


def moved() -> bool:
    return abs(time.time() - time.clock_gettime(_STEADY) - _begun) > STEP  # spelt out: asked for each call


def check() -> None:
    """Raises ClockMoved."""
    if moved():
        raise ClockMoved(MOVED)


async def watch(journal: Journal) -> None:
    """Puts on record when it was moved, and when it is right again."""
    before = False
    while True:
        await asyncio.sleep(LOOK)
        now = moved()
        if now is not before:
            before = now
            seconds = round(step(), 1)
            log.error(
                "the clock was moved by %+.1f s: %s", seconds, "calls are refused" if now else "it is right again"
            )
            journal.note("clock.moved" if now else "clock.right", who=GATEWAY, seconds=seconds)
