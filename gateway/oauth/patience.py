"""How many refusals in a row of minutes somebody gets before they are not listened to for the rest of one.

Nothing here can be guessed (codes, tokens and secrets have 256 bits); it is about what refusing costs us. In memory and
for each process by itself: no database is asked in order to find out that a database should not be asked.
"""

from __future__ import annotations

import time
from threading import Lock
from typing import TYPE_CHECKING, Final

from authz.neighbours import neighbourhood

if TYPE_CHECKING:
    from collections.abc import Callable

REFUSALS: Final = 100  # of one address (IPv6: of its /64) in a minute; many people may share one
MINUTE: Final = 60.0
SOURCES: Final = 10_000


class Patience:
    """Counts refusals by where they went; safe to share between threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = Lock()
        self._begun = now()
        self._refused: dict[str, int] = {}

    def left(self, address: str) -> float:
        """Seconds for which this address is not listened to; 0 while it is."""
        with self._lock:
            age = self._now() - self._begun
            if age >= MINUTE or self._refused.get(neighbourhood(address), 0) < REFUSALS:
                return 0.0
            return MINUTE - age

    def refused(self, address: str) -> None:
        with self._lock:
            if self._now() - self._begun >= MINUTE or len(self._refused) >= SOURCES:
                self._begun, self._refused = self._now(), {}
            source = neighbourhood(address)
            self._refused[source] = self._refused.get(source, 0) + 1
