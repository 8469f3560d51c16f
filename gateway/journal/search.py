"""Finding records through the index, brought up to date before it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import col, desc, or_, select

from gateway.journal.index import Indexer
from registry.tables import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.database import Database

MOST = 1000  # records about one call


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is empty or None does not count."""

    since: float | None = None
    until: float | None = None
    who: str = ""
    server: str = ""
    object: str = ""
    event: str = ""
    outcome: str = ""
    text: str = ""
    limit: int = 100


def find(directory: Path, database: Database, wanted: Search) -> list[str]:
    """The newest matching lines, oldest first."""
    Indexer(directory, database).catch_up()
    query = select(JournalEntry.line).where(*_conditions(wanted))
    with database.read() as session:
        lines = session.exec(query.order_by(desc(JournalEntry.at), desc(JournalEntry.id)).limit(wanted.limit)).all()
    return list(reversed(lines))


def about(directory: Path, database: Database, identity: str) -> list[str]:
    """Every record that bears this id: a record's own, a call's, a decision's (then of its call too)."""
    Indexer(directory, database).catch_up()
    same = or_(*(col(column) == identity for column in (JournalEntry.id, JournalEntry.call, JournalEntry.decision)))
    with database.read() as session:
        calls = set(session.exec(select(JournalEntry.call).where(same)).all()) - {""}
        query = select(JournalEntry.line).where(or_(same, col(JournalEntry.call).in_(calls)))
        return list(session.exec(query.order_by(col(JournalEntry.at)).limit(MOST)).all())


def _conditions(wanted: Search) -> Iterator[Any]:
    if wanted.since is not None:
        yield col(JournalEntry.at) >= wanted.since
    if wanted.until is not None:
        yield col(JournalEntry.at) < wanted.until
    for column, value in ((JournalEntry.principal, wanted.who), (JournalEntry.server, wanted.server),
                          (JournalEntry.object, wanted.object), (JournalEntry.outcome, wanted.outcome)):  # fmt: skip
        if value:
            yield col(column) == value
    if wanted.event.endswith("."):
        yield col(JournalEntry.event).startswith(wanted.event, autoescape=True)
    elif wanted.event:
        yield col(JournalEntry.event) == wanted.event
    if wanted.text:
        yield col(JournalEntry.line).contains(wanted.text, autoescape=True)
