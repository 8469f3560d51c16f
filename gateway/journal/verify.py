"""Checks the journal from outside: every record against the one before, every segment against its neighbours.

Works on the files alone; with the key the marks are checked, with the table of segments also what should be there.
Names the first bad record of each segment. What a crash leaves is told as a note; what no crash leaves is a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.journal.against_table import compare
from gateway.journal.reading import Ending, Gist, beginning, first, gist, records
from gateway.journal.records import genesis, mark
from gateway.journal.report import Finding, Report, Seen
from gateway.journal.segments import SegmentName, is_alive, segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from registry.tables import Segment


def verify(directory: Path, key: bytes | None = None, rows: Sequence[Segment] | None = None) -> Report:
    """`rows` is the table of segments, None when it cannot be had."""
    report = Report()
    names = segments(directory)
    openings = {name: _opening(directory / str(name)) for name in names}
    pruned: set[str] = set()
    seen: dict[SegmentName, Seen] = {}
    for name in names:
        seen[name] = _read(directory, openings, name, key, report, pruned)
        if seen[name].opened is None:
            before = seen.get(SegmentName(name.writer, name.number - 1))
            first_seq = before.ending.seq + 1 if before else 1
            report.problems.append(Finding(str(name), first_seq, "is not the record of the segment's opening"))
        report.segments += 1
    pruned |= {row.name for row in rows or () if row.pruned_at is not None}
    for name, here in seen.items():
        _joined(here, seen.get(SegmentName(name.writer, name.number - 1)), pruned, report)
        _ended(directory, here, seen.get(name.next()), report)
    if rows is not None:
        compare(directory, rows, seen, pruned, report)
    return report


def _opening(path: Path) -> Gist | None:
    """The first record if its own hash holds: a number that was edited would otherwise name another record."""
    found = first(path)
    if found is None or next(records(path, beginning(found)), None) is None:
        return None
    return found


def _read(
    directory: Path,
    openings: dict[SegmentName, Gist | None],
    name: SegmentName,
    key: bytes | None,
    report: Report,
    pruned: set[str],
) -> Seen:
    opened = openings[name]
    if opened is None:
        return Seen(name, None, Ending(0, b"", bad="is not the record of the segment's opening"))
    here = Seen(name, opened, beginning(opened))
    following = openings.get(name.next())
    left_after = following.left_after if following is not None and following.left == str(name) else 0
    head = here.ending.digest
    for record in records(directory / str(name), here.ending):
        found = gist(record.line)
        _marked(key, name, found, head, report)
        if here.sealed:
            report.problems.append(Finding(str(name), record.seq, "comes after the seal"))
        if found.event == "journal.pruned":
            pruned.add(found.segment)
        if record.seq == left_after:
            here.digest_at[left_after] = record.digest
        here.last, head = found, record.digest
        report.records += 1
    return here


def _marked(key: bytes | None, name: SegmentName, found: Gist, head: bytes, report: Report) -> None:
    kind = found.event.removeprefix("journal.")
    if kind not in {"opened", "sealed"}:
        return
    if found.segment != str(name):
        text = f"is from {found.segment}: a segment was put under another name"
        report.problems.append(Finding(str(name), found.seq, text))
    elif key is not None and found.mark != mark(key, kind, str(name), found.seq, head):
        text = "does not bear the mark of this gateway's key: the segment was made up, or another key is in use"
        report.problems.append(Finding(str(name), found.seq, text))


def _joined(here: Seen, before: Seen | None, pruned: set[str], report: Report) -> None:
    """The first record follows the last one of the segment before."""
    if here.opened is None:
        return
    name = here.name
    if name.number == 1:
        expected: tuple[int, bytes] | None = (0, genesis(name.writer))
    elif before is None:
        expected = None
        missing = SegmentName(name.writer, name.number - 1)
        if str(missing) not in pruned:
            report.problems.append(Finding(str(missing), 0, "is missing, and no record says that it was pruned"))
    elif before.ending.bad and not here.opened.left:
        return  # told already
    elif here.opened.left == str(before.name) and here.opened.left_after in before.digest_at:
        expected = (here.opened.left_after, before.digest_at[here.opened.left_after])
    else:
        expected = (before.ending.seq, before.ending.digest)
    start = beginning(here.opened)
    if expected is not None and (start.seq, start.digest) != expected:
        text = "does not follow the segment before it: records between them were cut, or one of the two was replaced"
        report.problems.append(Finding(str(name), here.opened.seq, text))


def _ended(directory: Path, here: Seen, following: Seen | None, report: Report) -> None:
    """The segment ends with its seal, or there is an innocent reason why it does not."""
    if here.opened is None:
        return
    name, ending = str(here.name), here.ending
    left = following is not None and following.opened is not None and following.opened.left == name
    if left:
        report.notes.append(
            Finding(name, 0, f"was left after an error of the disk, {ending.rest} bytes in it are void")
        )
    elif ending.bad and not (ending.torn and following is None and not here.sealed):
        report.problems.append(Finding(name, ending.seq + 1, ending.bad))
    elif following is not None and not here.sealed:
        report.problems.append(Finding(name, ending.seq + 1, "is missing: the end of the segment was cut"))
    elif not here.sealed:
        _unsealed(directory, here, report)


def _unsealed(directory: Path, here: Seen, report: Report) -> None:
    name, ending = str(here.name), here.ending
    if not (directory / name).stat().st_mode & 0o200:
        report.problems.append(Finding(name, ending.seq + 1, "is missing: the segment was sealed and has lost its end"))
    elif not is_alive(directory, here.name.writer):
        text = "its process was killed; the next start closes its calls and seals it"
        torn = f" ({ending.rest} bytes were never finished)" if ending.torn else ""
        report.notes.append(Finding(name, 0, text + torn))
