"""Screening before a transaction: it costs processor time, for a large API seconds, and others wait to write.

What is found is found by the text itself, so whatever comes to be stored in the meantime is screened all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.screening import reads_on, screen, screen_together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from registry.screening import Described, Finding, Screened


class Ahead:
    """What screening says of definitions, each looked at once."""

    def __init__(self) -> None:
        self._alone: dict[Described, Screened] = {}
        self._pairs: dict[tuple[Described, Described], bool] = {}

    def screen(self, one: Described) -> Screened:
        if one not in self._alone:
            self._alone[one] = screen(one.kind, one.name, one.raw)
        return self._alone[one]

    def together(
        self, seen: Sequence[Described], touched: Collection[tuple[str, str]]
    ) -> Iterator[tuple[tuple[str, str], Finding]]:
        return screen_together(seen, touched, self._reads_on)

    def _reads_on(self, one: Described, other: Described) -> bool:
        pair = (one, other)
        if pair not in self._pairs:
            self._pairs[pair] = reads_on(one, other)
        return self._pairs[pair]


def look_ahead(seen: Sequence[Described], touched: Collection[tuple[str, str]]) -> Ahead:
    """At those of `seen` that are `touched`, alone and with their neighbours."""
    ahead = Ahead()
    for one in seen:
        if (str(one.kind), one.name) in touched:
            ahead.screen(one)
    list(ahead.together(seen, touched))
    return ahead
