"""What calls to each server came to lately, from what the journal's index has of them."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.journal.index.search import horizon, oldest

if TYPE_CHECKING:
    from sqlmodel import Session

    from gateway.journal.index.blocks import Entry

FAILED: Final = ("broken", "timeout")
MOST: Final = 1000
LATELY: Final = 3600.0  # seconds


@dataclass(slots=True)
class Lately:
    """By server: how often calls that left since then came to each outcome, and why those without an answer had none
    (the newest thousand of these).
    """

    moment: float = 0.0
    _outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _failures: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MOST))

    @classmethod
    def of_the_last_hour(cls, session: Session, most: int | None = None) -> Lately:
        """Or of less, so that no more than `most` blocks of the index are read, two milliseconds each."""
        hour = time.time() - LATELY
        return cls.since(session, hour if most is None else horizon(session, hour, most))

    @classmethod
    def since(cls, session: Session, moment: float) -> Lately:
        """Of calls that left since then. One that is under way has no outcome yet."""
        lately = cls(moment)
        servers: dict[str, str] = {}  # of calls without an outcome
        for entry in oldest(session, moment, "call.intent", "call.outcome"):
            call = entry.facts.call
            if entry.facts.event == "call.intent":
                servers[call] = entry.facts.server
            elif call in servers:
                lately._ended(servers.pop(call), entry)
        return lately

    def outcomes(self) -> dict[str, dict[str, int]]:
        return _by_server(self._outcomes)

    def failures(self) -> dict[str, dict[str, int]]:
        """By trouble."""
        return _by_server(Counter(self._failures))

    def _ended(self, slug: str, entry: Entry) -> None:
        outcome = entry.facts.outcome
        self._outcomes[slug, outcome] += 1
        if outcome in FAILED:
            self._failures.append((slug, msgspec.json.decode(entry.line).get("trouble", "unknown")))


def _by_server(counted: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (slug, what), count in counted.items():
        found.setdefault(slug, {})[what] = count
    return found
