"""A server that keeps failing is left alone for a while, so that calls to it cost nothing and it can recover."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.upstream import UpstreamBusy

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES = 20  # in a row
PROBE_EVERY = 10.0  # seconds; then one call is let through to see


class Breaker:
    """One per server and process; `clock` gives seconds that only grow."""

    __slots__ = ("_failures", "_next_probe", "_now")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._now = clock
        self._failures = 0
        self._next_probe = 0.0

    def admit(self) -> None:
        """Let a call through, or say when to come back."""
        if self._failures < FAILURES:
            return
        now = self._now()
        if now < self._next_probe:
            wait = math.ceil(self._next_probe - now)
            raise UpstreamBusy("the server has failed many times in a row; nothing was sent, try again later", wait)
        self._next_probe = now + PROBE_EVERY

    def failed(self) -> None:
        self._failures += 1
        self._next_probe = self._now() + PROBE_EVERY

    def succeeded(self) -> None:
        self._failures = 0
