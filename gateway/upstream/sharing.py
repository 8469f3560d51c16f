"""Who has how many of the places of a server that takes only so many calls at once, so that nobody has them all.

Alone, somebody may have every place. Where others are there, or were turned away a moment ago, each has an equal share.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WANTED: Final = 10.0  # seconds for which whoever was turned away counts as one who is there


class Shares:
    """Of one server in one process, by the subject who asks; whoever acts for them has of theirs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: Counter[str] = Counter()
        self._wanted: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def may_enter(self, subject: str, most: int, parked: Sequence[str]) -> bool:
        """Whether there is a place for them. `parked` are those whose calls wait at a question, once for each."""
        held = self._held.copy()
        held.update(parked)
        now = self._clock()
        self._wanted = {one: until for one, until in self._wanted.items() if until > now}
        share = max(1, most // len({subject, *held, *self._wanted}))
        if held[subject] < share and held.total() < most:
            return True
        if held[subject] < share:
            self._wanted[subject] = now + WANTED
        return False

    def enter(self, subject: str) -> None:
        self._held[subject] += 1
        self._wanted.pop(subject, None)

    def leave(self, subject: str) -> None:
        """Of one that was counted; those that came before there was a limit were not."""
        if subject in self._held:
            self._held[subject] -= 1
            if not self._held[subject]:
                del self._held[subject]
