"""T-79: edit a byte, delete a line, swap two, cut the tail, splice another day's segment: the verifier names it.

Replacing everything consistently, with the key, is for the external anchor to find.
"""

from __future__ import annotations

import random
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import select

from gateway.journal import against_table
from gateway.journal.records import chain, genesis
from gateway.journal.segments import place_of, segments
from gateway.journal.verify import verify
from gateway.journal.writer import open_journal
from registry.database import Database, sqlite_url
from registry.schema import migrate
from registry.tables import Segment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.journal.report import Report

KEY = b"k" * 32


class Journal:
    """Two writers' sealed segments, and the table that knows them."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "journal"
        self.database = Database(sqlite_url(place))
        migrate(self.database)
        for day in ("monday", "tuesday"):
            journal = open_journal(self.directory, KEY, self.database, limit=4000)
            for number in range(40):
                journal.note("probe", who="test", day=day, number=number)
            journal.close()
        self.rows = self.table()

    def table(self) -> Sequence[Segment]:
        with self.database.read() as session:
            return session.exec(select(Segment)).all()

    def paths(self) -> list[Path]:
        return [self.directory / str(name) for name in segments(self.directory)]

    def checks(self) -> list[Report]:
        """With all there is, and with the files alone."""
        return [verify(self.directory, KEY, self.rows), verify(self.directory)]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return Journal(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def journal(pristine: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A copy to damage; for the table it is where the pristine one is."""
    monkeypatch.setattr(against_table, "place_of", lambda _: place_of(pristine.directory))
    copy = object.__new__(Journal)
    copy.directory = tmp_path / "journal"
    copy.rows = pristine.rows
    shutil.copytree(pristine.directory, copy.directory)
    for path in copy.paths():
        path.chmod(0o600)
    return copy


def sealed(journal: Journal) -> None:
    for path in journal.paths():
        path.chmod(0o400)


def firsts(report: Report) -> list[tuple[str, int]]:
    return [(one.segment, one.seq) for one in report.problems]


def test_t_79_an_untouched_journal_is_sound(journal: Journal) -> None:
    sealed(journal)
    for report in journal.checks():
        assert (report.problems, report.notes) == ([], [])
        assert report.segments >= 4
        assert report.records > 80


@given(data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_t_79_any_edited_byte_is_named_by_its_record(journal: Journal, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(journal.paths()))
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != whole[place]))
    path.chmod(0o600)
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    sealed(journal)
    try:
        first_seq = int(whole[7 : whole.index(b",")])
        edited = first_seq + whole[:place].count(b"\n")
        report = verify(journal.directory, KEY, journal.rows)
        assert not report.sound
        assert firsts(report)[0] == (path.name, edited)
        assert not verify(journal.directory).sound
    finally:
        path.chmod(0o600)
        path.write_bytes(whole)


@pytest.mark.parametrize("line", [1, 5, 9])
def test_t_79_a_deleted_line_is_named(journal: Journal, line: int) -> None:
    path = journal.paths()[0]
    kept = path.read_bytes().splitlines(keepends=True)
    del kept[line]
    path.write_bytes(b"".join(kept))
    for report in journal.checks():
        assert firsts(report)[0] == (path.name, line + 1)
        assert "removed" in report.problems[0].text


def test_t_79_two_swapped_lines_are_named(journal: Journal) -> None:
    path = journal.paths()[0]
    kept = path.read_bytes().splitlines(keepends=True)
    kept[4], kept[5] = kept[5], kept[4]
    path.write_bytes(b"".join(kept))
    for report in journal.checks():
        assert firsts(report)[0] == (path.name, 5)


@pytest.mark.parametrize("which", [0, 1, -1])
def test_t_79_a_cut_tail_is_named(journal: Journal, which: int) -> None:
    """At a line's end, so that what is left fits together: the last segment by the table, others by their successor."""
    path = journal.paths()[which]
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(kept[:-2]))
    sealed(journal)
    last = int(kept[-3][7 : kept[-3].index(b",")])
    for report in journal.checks():
        assert firsts(report)[0] == (path.name, last + 1)
    path.chmod(0o600)
    assert not verify(journal.directory, KEY, journal.rows).sound


def test_t_79_a_segment_of_another_day_in_its_place_is_named(journal: Journal) -> None:
    names = segments(journal.directory)
    one = next(name for name in names if name.number == 1)
    other = next(name for name in names if name.number == 1 and name.writer != one.writer)
    shutil.copy(journal.directory / str(other), journal.directory / str(one))
    for report in journal.checks():
        assert any(segment == str(one) and seq == 1 for segment, seq in firsts(report))


def test_t_79_a_segment_that_was_put_there_is_named(journal: Journal) -> None:
    """Made up, fitting in itself, under the name of a writer that never was."""
    body = b'{"event":"journal.opened","segment":"eve-1-00000000.000001.jsonl","previous":"%b","mark":"%b"}'
    start = genesis("eve-1-00000000")
    line, digest = chain(start, 1, body % (start.hex().encode(), b"0" * 64))
    seal, _ = chain(digest, 2, b'{"event":"journal.sealed","segment":"eve-1-00000000.000001.jsonl","mark":""}')
    (journal.directory / "eve-1-00000000.000001.jsonl").write_bytes(line + seal)
    by_key, by_table = verify(journal.directory, KEY), verify(journal.directory, None, journal.rows)
    assert "mark" in by_key.problems[0].text
    assert "not in the table" in by_table.problems[0].text


def test_t_79_a_file_replaced_consistently_without_the_key_is_named(journal: Journal) -> None:
    path = journal.paths()[0]
    head, replaced = genesis(segments(journal.directory)[0].writer), b""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        body = b"{" + line[line.index(b",") + 1 : line.rindex(b',"hash"')] + b"}"
        made, head = chain(head, number, body.replace(b'"number":7', b'"number":8'))
        replaced += made
    path.write_bytes(replaced)
    by_key = firsts(verify(journal.directory, KEY))
    assert (path.name, len(replaced.splitlines())) in by_key
    assert not verify(journal.directory, None, journal.rows).sound
    assert not verify(journal.directory).sound  # the next segment follows the true one


def test_t_79_a_missing_segment_is_named(journal: Journal) -> None:
    for path in journal.paths():
        content = path.read_bytes()
        path.unlink()
        assert any(segment == path.name for segment, _ in firsts(verify(journal.directory, KEY, journal.rows)))
        path.write_bytes(content)


def test_t_79_a_row_that_was_removed_or_changed_is_named(journal: Journal) -> None:
    rows = sorted(journal.rows, key=lambda row: row.position)
    without = [row for row in rows if row.position != 2]
    assert not verify(journal.directory, KEY, without).sound
    changed = Segment(**rows[1].model_dump() | {"first_seq": 99})
    report = verify(journal.directory, KEY, [rows[0], changed, *rows[2:]])
    assert (changed.name, 0) in firsts(report)


def test_t_79_the_first_of_several_bad_records_is_named(journal: Journal) -> None:
    path = journal.paths()[0]
    kept = path.read_bytes().splitlines(keepends=True)
    for line in random.Random(7).sample(range(3, 9), 3):
        kept[line] = kept[line].replace(b'"who":"test"', b'"who":"eve"')
    path.write_bytes(b"".join(kept))
    first = next(number for number, line in enumerate(kept, start=1) if b'"eve"' in line)
    assert firsts(verify(journal.directory, KEY))[0] == (path.name, first)


def test_t_79_hashes_are_those_of_the_specification(journal: Journal) -> None:
    """A second reading of docs/journal.md, so that anybody can check a journal with their own tool."""
    path = journal.paths()[0]
    previous = sha256(b"ostiary journal 1\n" + path.name.split(".")[0].encode()).digest()
    for line in path.read_bytes().splitlines():
        vouched, _, tail = line.rpartition(b',"hash":"')
        previous = sha256(previous + vouched).digest()
        assert tail == previous.hex().encode() + b'"}'
