from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import func, select

from authz.ids import fresh_id
from gateway.journal import JournalDown
from gateway.journal.index import copying
from gateway.journal.index.copying import Indexer
from gateway.journal.index.search import about
from gateway.journal.prune import old, prune
from gateway.journal.records import chain, encode
from gateway.journal.segments import Disk
from gateway.journal.verify import verify
from registry.tables import JournalBlock, JournalName
from tests.gateway.journal.conftest import KEY, booked, calls, intend, lines, rows, stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.journal.index.copying import Batch, Place
    from gateway.journal.writer import FileJournal
    from registry.database import Database

    Open = Callable[..., FileJournal]


class Meanwhile(Indexer):
    """Something happens between its reading and its writing."""

    happens: Callable[[], object]

    def _read(self, place: Place) -> Batch | None:
        found = super()._read(place)
        self.happens()
        return found


def meanwhile(directory: Path, database: Database, happens: Callable[[], object]) -> Indexer:
    indexer = Meanwhile(directory, database)
    indexer.happens = happens
    return indexer


def raw(directory: Path) -> list[bytes]:
    return [line for path in directory.glob("*.jsonl") for line in path.read_bytes().splitlines()]


def test_every_record_is_copied_once_whoever_copies(opened: Open, directory: Path, database: Database) -> None:
    for _ in range(2):
        journal = opened(database=database, limit=20_000)
        calls(journal, 100)
        journal.close()
    copiers = [threading.Thread(target=Indexer(directory, database).catch_up) for _ in range(3)]
    for copier in copiers:
        copier.start()
    for copier in copiers:
        copier.join()
    assert sorted(entry.line for entry in stored(database)) == sorted(raw(directory))
    assert len(stored(database)) > 400


def test_copying_goes_on_where_it_ended(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 10)
    booked(database, 1)
    indexer = Indexer(directory, database)
    indexer.catch_up()
    calls(journal, 10)
    indexer.catch_up()
    Indexer(directory, database).catch_up()
    assert len(stored(database)) == len(lines(directory)) == 41


def test_a_line_that_is_not_finished_yet_is_copied_when_it_is(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    (path,) = directory.glob("*.jsonl")
    whole, indexer = path.read_bytes(), Indexer(directory, database, own=journal)
    for length, count in ((len(whole) - 9, 6), (len(whole) - 1, 6), (len(whole), 7)):
        path.write_bytes(whole[:length])
        indexer.step()
        assert len(stored(database)) == count
    assert [entry.line for entry in stored(database)] == whole.splitlines()


def test_what_a_write_that_fails_has_left_behind_is_not_copied_before_it_is_cut_off(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    indexer = Indexer(directory, database, own=journal)
    (path,) = directory.glob("*.jsonl")
    whole = path.read_bytes()
    refused, _ = chain(b"", journal.written + 1, encode({"at": time.time(), "event": "call.refused"}))
    path.write_bytes(whole + refused)
    for _ in range(2):
        indexer.step()
        assert [entry.line for entry in stored(database)] == whole.splitlines()
    path.write_bytes(whole)
    calls(journal, 1)
    indexer.step()
    assert len(stored(database)) == 9


def test_a_batch_that_fails_is_copied_later(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(database=database)
    calls(journal, 100)
    booked(database, 1)
    indexer = Indexer(directory, database)
    with monkeypatch.context() as patch:
        patch.setattr(copying, "_MOVE", "UPDATE nothing SET indexed = ?, indexed_seq = ? WHERE name = ?")
        with pytest.raises(SQLAlchemyError):
            indexer.step()
    indexer.catch_up()
    assert len(stored(database)) == 201


def test_a_record_that_does_not_fit_is_not_copied(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    journal.close()
    (path,) = directory.glob("*.jsonl")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"call":"c1","decision":"d-c1"', b'"call":"c1","decision":"d-cx"'))
    indexer = Indexer(directory, database)
    indexer.catch_up()
    assert [entry.facts.call for entry in stored(database)] == ["", "c0", "c0"]
    assert not indexer.step()
    assert indexer.waiting() == 0  # it is no news any more
    assert indexer.waiting(journal.writer) > 0
    assert indexer.writers() == set()


def test_a_tail_that_was_copied_cannot_be_cut_unnoticed(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 5)
    booked(database, 1)
    Indexer(directory, database).catch_up()
    (path,) = directory.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-3]))
    report = verify(directory, KEY, rows(database))
    assert [(one.segment, one.seq) for one in report.problems] == [(path.name, 9)]
    path.write_bytes(whole)


def test_of_each_segment_a_batch_is_copied_so_that_none_waits_for_a_busy_one(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH", 3000)
    for journal in [opened(database=database) for _ in range(2)]:
        calls(journal, 20)
    booked(database, 2)
    assert Indexer(directory, database).step()
    copied = Counter(entry.segment for entry in stored(database))
    assert len(copied) == 2
    assert all(1 < count < 41 for count in copied.values())


def test_what_is_written_while_somebody_catches_up_is_left_to_others(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    meanwhile(directory, database, lambda: calls(journal, 1)).catch_up()
    assert len(stored(database)) == 7


def test_what_somebody_else_has_copied_meanwhile_is_not_copied_twice(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    meanwhile(directory, database, Indexer(directory, database).catch_up).step()
    assert len(stored(database)) == 7


def test_a_segment_that_is_pruned_while_it_is_read_leaves_nothing_behind(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    booked(database, 3)
    chosen = old(directory, before=4e9)

    def pruned() -> None:
        gone = [one for one in chosen if (directory / str(one.name)).exists()]
        prune(directory, database, journal, gone, before=4e9, who="operator:root")

    meanwhile(directory, database, pruned).step()
    assert not {entry.segment for entry in stored(database)} & {str(one.name) for one in chosen}


def test_what_was_cut_off_while_it_was_read_is_not_copied(opened: Open, directory: Path, database: Database) -> None:
    """So it goes with records whose write fails: those that were refused must not be found."""
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    (path,) = directory.glob("*.jsonl")
    whole = path.read_bytes()
    shorter = len(b"".join(whole.splitlines(keepends=True)[:-1]))
    meanwhile(directory, database, lambda: os.truncate(path, shorter)).catch_up()
    assert len(stored(database)) == 6
    assert rows(database)[0].indexed == shorter
    path.write_bytes(whole)


def test_two_segments_of_a_writer_may_have_a_record_of_the_same_number(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails may keep what was refused; what comes next is counted from the last that was not."""
    failing: list[int] = []

    def write(fd: int, data: bytes) -> int:
        written = os.write(fd, data)
        if failing:
            raise OSError(failing.pop(), "broken")
        return written

    def no_cut(_fd: int, _size: int) -> None:
        raise OSError(5, "broken")

    journal = opened(database=database, disk=Disk(write=write))
    booked(database, 1)
    Indexer(directory, database).catch_up()
    failing.append(5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", no_cut)
        with pytest.raises(JournalDown):
            journal.note("refused", who="test")
    Indexer(directory, database).catch_up()
    booked(database, 2)  # we go on by ourselves
    journal.note("probe", who="test")
    Indexer(directory, database).catch_up()
    assert "probe" in {entry.facts.event for entry in stored(database)}
    assert len(about(directory, database, f"{journal.writer}/2")) == 2


def test_a_damaged_segment_that_grows_does_not_keep_whoever_catches_up(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    booked(database, 1)
    (path,) = directory.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"decision":"d-c1"', b'"decision":"d-cx"'))
    reads: list[int] = []

    def grows() -> None:
        reads.append(len(reads))
        assert len(reads) < 10
        journal.note("probe", who="test")

    meanwhile(directory, database, grows).catch_up()
    assert [entry.facts.call for entry in stored(database)] == ["", "c0", "c0"]


def test_how_long_the_oldest_record_waits_is_said(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    indexer = Indexer(directory, database)
    booked(database, 1)
    indexer.catch_up()
    assert indexer.waiting() == 0
    journal.note("probe", who="test")
    time.sleep(0.02)
    assert indexer.waiting() >= 0.02
    assert indexer.waiting("somebody-else") == 0
    assert indexer.writers() == {journal.writer}


def test_a_step_can_be_of_one_writer_alone(opened: Open, directory: Path, database: Database) -> None:
    first, second = opened(database=database), opened(database=database)
    booked(database, 2)
    assert not Indexer(directory, database).step(first.writer)
    assert {entry.segment.partition(".")[0] for entry in stored(database)} == {first.writer}
    assert Indexer(directory, database).writers() == {second.writer}


def test_whoever_is_killed_while_it_copies_loses_and_doubles_nothing(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database, limit=1_000_000)
    writing = threading.Thread(target=calls, args=(journal, 6000))
    writing.start()
    program = """\
import sys, pathlib
from gateway.journal.index.copying import Indexer
from registry.database import Database
indexer = Indexer(pathlib.Path(sys.argv[1]), Database(sys.argv[2]))
while True:
    indexer.step()
    print(flush=True)"""
    url = database.url.render_as_string(hide_password=False)
    for number in range(8):
        command = [sys.executable, "-c", program, str(directory), url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.004 * number)  # somewhere in the next batch
            process.kill()
    writing.join()
    journal.close()
    assert len(stored(database)) > 0
    Indexer(directory, database).catch_up()
    assert sorted(entry.line for entry in stored(database)) == sorted(raw(directory))


def test_calls_share_their_rows(opened: Open, directory: Path, database: Database) -> None:
    """What a call costs in the database does not depend on how much is in it already."""
    journal = opened(database=database)
    booked(database, 1)
    for _ in range(1000):
        call = fresh_id()
        intend(journal, call, decision=fresh_id())
        journal.conclude(call, "ok")
    Indexer(directory, database).catch_up()
    with database.read() as session:
        blocks = session.exec(select(func.count()).select_from(JournalBlock)).one()
        names = session.exec(select(func.count()).select_from(JournalName)).one()
    (path,) = directory.glob("*.jsonl")
    assert blocks <= path.stat().st_size // copying.BATCH + 1
    assert names <= 8 * blocks
