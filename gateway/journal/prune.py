"""Taking old segments away, on record: whole ones from the front of a writer's chain, never an open or the latest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

from sqlmodel import col, delete, select

from gateway.journal.reading import Gist, last
from gateway.journal.segments import SegmentName, segments, sync_directory
from registry.tables import JournalBlock, JournalName, Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlmodel import Session

    from gateway.journal import Journal
    from registry.database import Database


@dataclass(frozen=True, slots=True)
class Old:
    """A segment that may go: sealed, and its last record written before the day."""

    name: SegmentName
    seal: Gist
    size: int


def old(directory: Path, before: float) -> list[Old]:
    """What may be taken away; the newest of all sealed segments always stays."""
    sealed = list(_sealed(directory))
    newest = max((one.seal.at for one in sealed), default=0.0)
    found: list[Old] = []
    for _writer, own in groupby(sealed, lambda one: one.name.writer):
        found += takewhile(lambda one: one.seal.at < min(before, newest), own)
    return found


def prune(directory: Path, database: Database, journal: Journal, chosen: list[Old], *, before: float, who: str) -> None:
    """Each is on record before it goes, with what is needed to check what follows it. Raises JournalDown.

    What somebody else has taken away meanwhile is passed over.
    """
    for one in chosen:
        name, seal = str(one.name), one.seal
        if not (directory / name).exists():
            continue
        journal.note(
            "journal.pruned", who=who, segment=name, last_seq=seal.seq, mark=seal.mark, bytes=one.size, before=before
        )
        (directory / name).unlink(missing_ok=True)
        with database.change() as session:
            row = session.get(Segment, name)
            if row is not None:
                row.pruned_at = time.time()
                session.add(row)
            _forget(session, name)
    sync_directory(directory)


def _forget(session: Session, segment: str) -> None:
    """What is copied of it."""
    blocks = select(JournalBlock.id).where(JournalBlock.segment == segment)
    session.exec(delete(JournalName).where(col(JournalName.block).in_(blocks)))
    session.exec(delete(JournalBlock).where(col(JournalBlock.segment) == segment))


def _sealed(directory: Path) -> Iterator[Old]:
    """Sealed segments, without gaps from the first that a writer still has."""
    for _writer, names in groupby(segments(directory), lambda name: name.writer):
        for name in names:
            path = directory / str(name)
            try:
                status, end = path.stat(), last(path)
            except FileNotFoundError:  # taken away by somebody else while we looked
                continue
            if end is None or end.event != "journal.sealed" or status.st_mode & 0o200:
                break
            yield Old(name, end, status.st_size)
