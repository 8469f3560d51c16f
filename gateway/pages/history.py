"""A server's latest calls and refusals, from the journal's index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from gateway.journal.index.search import Search, bearing, newest

if TYPE_CHECKING:
    from sqlmodel import Session

    from gateway.journal.index.blocks import Entry

SHOWN: Final = ("call.intent", "call.refused")
MOST: Final = 25


@dataclass(frozen=True, slots=True)
class Passage:
    """One call or refusal."""

    at: float
    who: str
    object: str
    outcome: str
    reason: str
    refused: bool
    record: str


def latest(session: Session, slug: str) -> list[Passage]:
    """The newest first; a call that is still under way has no outcome yet."""
    passing = (one for one in newest(session, Search(server=slug, event="call.")) if one.facts.event in SHOWN)
    found = list(islice(passing, MOST))
    outcomes = _outcomes(session, {one.facts.call for one in found} - {""})
    return [_passage(one, outcomes) for one in found]


def _outcomes(session: Session, calls: set[str]) -> dict[str, str]:
    ended = (one.facts for one in bearing(session, calls) if one.facts.event == "call.outcome")
    return {facts.call: facts.outcome for facts in ended}


def _passage(entry: Entry, outcomes: dict[str, str]) -> Passage:
    found, refused = entry.facts, entry.facts.event == "call.refused"
    reason = str(json.loads(entry.line).get("reason", "")) if refused else ""
    return Passage(
        at=found.at,
        who=found.who,
        object=found.object,
        outcome="refused" if refused else outcomes.get(found.call, "under way"),
        reason=reason,
        refused=refused,
        record=entry.id,
    )
