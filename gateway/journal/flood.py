"""Refusals before authentication: in full for the first 20 per source and minute, then counted in one record.

So nobody can fill the disk from outside, and no flood is left out of the record.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Any

from authz.neighbours import neighbourhood

if TYPE_CHECKING:
    from collections.abc import Callable

IN_FULL = 20
MINUTE = 60.0
SOURCES = 2000  # remembered in a minute; all others count as one
OTHERS = "others"


class Flood:
    """`note` writes a record; `tell` is called now and then and writes what was counted in minutes that are over."""

    def __init__(self, note: Callable[..., None], clock: Callable[[], float] = time.monotonic) -> None:
        self._note = note
        self._clock = clock
        self._lock = Lock()
        self._since = clock()
        self._counts: dict[str, int] = {}

    def refused(self, source: str, reason: str, facts: dict[str, Any]) -> None:
        """One more refusal from `source`. Raises JournalDown."""
        self.tell()
        if self._count(neighbourhood(source)) <= IN_FULL:
            self._note("refused", who="", source=source, reason=reason, **facts)

    def tell(self, *, now: bool = False) -> bool:
        """Write the counts of a minute that is over (or of this one too); whether some are still to be told."""
        with self._lock:
            over = now or self._clock() - self._since >= MINUTE
            counts = self._counts
            if over:
                self._since, self._counts = self._clock(), {}
        if not over:
            return any(count > IN_FULL for count in counts.copy().values())
        for source, count in counts.items():
            if count > IN_FULL:
                self._note("refused.counted", who="", source=source, count=count - IN_FULL, seconds=MINUTE)
        return False

    def _count(self, source: str) -> int:
        with self._lock:
            if source not in self._counts and len(self._counts) >= SOURCES:
                source = OTHERS
            count = self._counts[source] = self._counts.get(source, 0) + 1
        return count
