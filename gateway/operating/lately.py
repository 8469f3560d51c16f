"""What calls to each server came to lately, from what the journal's index has of them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.journal.index.search import oldest

if TYPE_CHECKING:
    from sqlmodel import Session

    from gateway.journal.index.blocks import Entry

FAILED: Final = ("broken", "timeout")
MOST: Final = 1000


@dataclass(slots=True)
class Lately:
    """By server: outcomes; and why the newest thousand of all those without an answer had none."""

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _failures: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=MOST))

    @classmethod
    def since(cls, session: Session, moment: float) -> Lately:
        """Of calls that left since then. One that is under way has no outcome yet."""
        lately = cls()
        servers: dict[str, str] = {}  # of calls without an outcome
        for entry in oldest(session, moment, "call.intent", "call.outcome"):
            call = entry.facts.call
            if entry.facts.event == "call.intent":
                servers[call] = entry.facts.server
            elif call in servers:
                lately._ended(servers.pop(call), entry)
        return lately

    def failures(self) -> dict[str, Counter[str]]:
        """By trouble."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for slug, trouble in self._failures:
            found[slug][trouble] += 1
        return found

    def _ended(self, slug: str, entry: Entry) -> None:
        outcome = entry.facts.outcome
        self.outcomes[slug][outcome] += 1
        if outcome in FAILED:
            self._failures.append((slug, msgspec.json.decode(entry.line).get("trouble", "unknown")))
