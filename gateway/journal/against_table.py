"""The files against the table of segments, and the table against its own chain."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.journal.book import link
from gateway.journal.report import Finding, Report, Seen
from gateway.journal.segments import SegmentName, is_alive, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from registry.tables import Segment


def compare(
    directory: Path,
    rows: Sequence[Segment],
    seen: Mapping[SegmentName, Seen],
    pruned: Collection[str],
    report: Report,
) -> None:
    """Adds what does not agree to the report. `pruned` are the segments of which a record says so."""
    ordered = sorted(rows, key=lambda row: row.position)
    _chained(ordered, report)
    by_name = {row.name: row for row in ordered}
    elsewhere: list[Segment] = []
    for row in ordered:
        name = SegmentName.parse(row.name)
        here = seen.get(name) if name else None
        if here is None and row.place not in {"", place_of(directory)}:
            elsewhere.append(row)
        else:
            _one(row, here, report, told=row.name in pruned)
    _tell_places(elsewhere, report)
    for name, here in seen.items():
        if str(name) not in by_name:
            _unknown(directory, here, report)


def _chained(rows: Sequence[Segment], report: Report) -> None:
    previous = ""
    for position, row in enumerate(rows, start=1):
        if row.position != position or row.previous != previous:
            _problem(report, row.name, "follows a row of the table of segments that was removed")
        if row.link != link(row):
            _problem(report, row.name, "its row in the table of segments was changed")
        previous = row.link
        if row.position != position:
            return


def _one(row: Segment, here: Seen | None, report: Report, *, told: bool) -> None:
    if here is None:
        if row.pruned_at is None and not told:
            _problem(report, row.name, "is missing: the table of segments knows it, and it was not pruned")
        return
    if row.pruned_at is not None:
        _problem(report, row.name, "was pruned and is here again")
    known = max(row.last_seq or 0, row.indexed_seq)
    if here.ending.seq < known and not here.ending.bad:
        text = f"is missing: the table of segments has seen records up to {known}"
        _problem(report, row.name, text, here.ending.seq + 1)
    elif row.last_seq == here.ending.seq and row.head != here.ending.digest.hex():
        _problem(
            report, row.name, "is not the one that the table of segments knows: the file was replaced", row.last_seq
        )


def _tell_places(rows: Sequence[Segment], report: Report) -> None:
    """Other machines keep theirs; that they are there at all is said, for one that should not be."""
    kept: dict[str, list[Segment]] = {}
    for row in rows:
        if row.pruned_at is None:
            kept.setdefault(row.place, []).append(row)
    for place, theirs in sorted(kept.items()):
        last = datetime.fromtimestamp(max(row.opened_at for row in theirs), UTC)
        text = f"keeps {len(theirs)} segments, the last opened {last:%Y-%m-%d %H:%M} UTC: `ostiary audit verify` there"
        report.notes.append(Finding(place, 0, text))


def _unknown(directory: Path, here: Seen, report: Report) -> None:
    if is_alive(directory, here.name.writer) or not here.sealed:
        text = "is not in the table of segments yet"
        report.notes.append(Finding(str(here.name), 0, text))
    else:
        _problem(report, str(here.name), "is not in the table of segments: it was put here, or its row was removed")


def _problem(report: Report, segment: str, text: str, seq: int = 0) -> None:
    report.problems.append(Finding(segment, seq, text))
