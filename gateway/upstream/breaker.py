"""A server that keeps failing is left alone for a while, so that calls to it cost nothing and it can recover."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.upstream import UpstreamBusy
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURES = 20  # in a row
PROBE_EVERY = 10.0  # seconds; then one call is let through to see


class Breaker:
    """One per server and process; `clock` gives seconds that only grow.

    `told` hears when it opens, with the trouble that did it, and when it closes again, with none.
    """

    __slots__ = ("_failures", "_next_probe", "_now", "_told", "trouble")

    def __init__(self, clock: Callable[[], float], told: Callable[[Trouble | None], None] = lambda _: None) -> None:
        self._now = clock
        self._told = told
        self._failures = 0
        self._next_probe = 0.0
        self.trouble: Trouble | None = None  # why the server is left alone, while it is

    @property
    def pause(self) -> float:
        """Seconds until the next call is let through."""
        return max(self._next_probe - self._now(), 0.0) if self.trouble is not None else 0.0

    def admit(self) -> None:
        """Let a call through, or say when to come back."""
        if self.trouble is None:
            return
        now = self._now()
        if now < self._next_probe:
            wait = math.ceil(self._next_probe - now)
            alone = "the server has failed many times in a row; nothing was sent, try again later"
            raise UpstreamBusy(alone, wait, Trouble.LEFT_ALONE)
        self._next_probe = now + PROBE_EVERY

    def failed(self, trouble: Trouble) -> None:
        self._failures += 1
        if self._failures >= FAILURES and self.trouble is None:
            self.trouble = trouble
            self._next_probe = self._now() + PROBE_EVERY
            self._told(trouble)

    def succeeded(self) -> None:
        self._failures = 0
        if self.trouble is not None:
            self.trouble = None
            self._told(None)
