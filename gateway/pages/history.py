"""A server's latest calls and refusals, from the journal's index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, or_, select

from registry.tables import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN = 25


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
    here = or_(col(JournalEntry.server) == slug, col(JournalEntry.object).startswith(f"{slug}.", autoescape=True))
    wanted = select(JournalEntry).where(here, col(JournalEntry.event).in_(("call.intent", "call.refused")))
    rows = session.exec(wanted.order_by(col(JournalEntry.at).desc()).limit(SHOWN)).all()
    outcomes = _outcomes(session, [row.call for row in rows if row.call])
    return [_passage(row, outcomes) for row in rows]


def _outcomes(session: Session, calls: Sequence[str]) -> dict[str, str]:
    asked = select(JournalEntry).where(JournalEntry.event == "call.outcome", col(JournalEntry.call).in_(calls))
    return {row.call: row.outcome for row in session.exec(asked)}


def _passage(row: JournalEntry, outcomes: dict[str, str]) -> Passage:
    refused = row.event == "call.refused"
    facts: dict[str, Any] = json.loads(row.line)
    return Passage(
        at=row.at,
        who=row.principal or str(facts.get("who", "")),
        object=row.object,
        outcome="refused" if refused else outcomes.get(row.call, "under way"),
        reason=str(facts.get("reason", "")) if refused else "",
        refused=refused,
        record=row.id,
    )
