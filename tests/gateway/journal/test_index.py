from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from gateway.journal import index
from gateway.journal.index import Indexer
from gateway.journal.prune import old, prune
from gateway.journal.search import Search, about, find
from gateway.journal.tail import Tail
from gateway.journal.verify import verify
from registry.tables import JournalEntry, Segment
from tests.gateway.journal.conftest import KEY, intend, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.journal.writer import FileJournal
    from registry.database import Database

    Open = Callable[..., FileJournal]


def entries(database: Database) -> Sequence[JournalEntry]:
    with database.read() as session:
        return session.exec(select(JournalEntry).order_by(col(JournalEntry.at))).all()


def rows(database: Database) -> Sequence[Segment]:
    with database.read() as session:
        return session.exec(select(Segment)).all()


def calls(journal: FileJournal, number: int, **fields: Any) -> None:
    for one in range(number):
        intend(journal, f"c{one}", **fields)
        journal.conclude(f"c{one}", "ok")


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
    assert sorted(entry.line for entry in entries(database)) == sorted(_raw(directory))
    assert len(entries(database)) > 400


def test_copying_goes_on_where_it_ended(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 10)
    _booked(database, 1)
    indexer = Indexer(directory, database)
    indexer.catch_up()
    calls(journal, 10)
    indexer.catch_up()
    Indexer(directory, database).catch_up()
    assert len(entries(database)) == len(lines(directory)) == 41


def test_a_batch_that_fails_is_copied_later(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(database=database)
    calls(journal, 100)
    _booked(database, 1)
    indexer = Indexer(directory, database)
    with monkeypatch.context() as patch:
        patch.setattr(index, "_MOVE", "UPDATE nothing SET indexed = ?, indexed_seq = ? WHERE name = ?")
        with pytest.raises(SQLAlchemyError):
            indexer.step()
    indexer.catch_up()
    assert len(entries(database)) == 201


def test_a_record_that_does_not_fit_is_not_copied(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    journal.close()
    (path,) = directory.glob("*.jsonl")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"call":"c1","decision":"d-c1"', b'"call":"c1","decision":"d-cx"'))
    indexer = Indexer(directory, database)
    indexer.catch_up()
    assert [entry.call for entry in entries(database)] == ["", "c0", "c0"]
    assert not indexer.step()


def test_a_tail_that_was_copied_cannot_be_cut_unnoticed(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 5)
    _booked(database, 1)
    Indexer(directory, database).catch_up()
    (path,) = directory.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-3]))
    report = verify(directory, KEY, rows(database))
    assert [(one.segment, one.seq) for one in report.problems] == [(path.name, 9)]
    path.write_bytes(whole)


def test_records_are_found_by_who_what_and_how(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 2)
    calls(journal, 2, server="clock", object="clock.now")
    journal.note("policy.changed", who="operator:root", text="100% of_it")
    _booked(database, 1)

    def found(**wanted: object) -> int:
        return len(find(directory, database, Search(**wanted)))  # type: ignore[arg-type]

    assert found() == 10
    assert found(server="clock") == 2
    assert found(object="notes.add", who="user:editor") == 2
    assert found(outcome="ok") == 4
    assert found(event="call.") == 8
    assert found(event="call.intent") == 4
    assert found(text="100%") == 1
    assert found(text="1%o") == 0
    assert found(limit=3) == 3
    assert found(since=4e9) == 0
    assert "policy.changed" in find(directory, database, Search(limit=1))[0]


def test_a_decision_leads_to_its_call(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 2)
    journal.note("call.refused", who="user:reader", decision="d-refused")
    _booked(database, 1)
    assert len(about(directory, database, "d-c1")) == 2
    assert len(about(directory, database, "c1")) == 2
    assert len(about(directory, database, "d-refused")) == 1
    assert len(about(directory, database, f"{journal.writer}/2")) == 2
    assert about(directory, database, "nothing") == []


def test_old_segments_go_on_record_and_the_rest_stays_sound(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    Indexer(directory, database).catch_up()
    chosen = old(directory, before=4e9)
    kept = [path for path in directory.glob("*.jsonl") if path.name not in {str(one.name) for one in chosen}]
    assert len(chosen) >= 3
    assert len(kept) == 2  # the open one, and the newest of the sealed
    keeper = opened(database=database, role="cli")
    prune(directory, database, keeper, chosen, before=4e9, who="operator:root")
    keeper.close()
    journal.close()
    assert sorted(kept) == sorted(path for path in directory.glob("*.jsonl") if path.name.startswith(journal.writer))
    Indexer(directory, database).catch_up()
    assert {entry.segment for entry in entries(database)} == {path.name for path in directory.glob("*.jsonl")}
    assert verify(directory, KEY, rows(database)).problems == []
    assert verify(directory).problems == []
    told = [line["segment"] for line in lines(directory) if line["event"] == "journal.pruned"]
    assert told == [str(one.name) for one in chosen]


def test_a_pruned_segment_that_is_back_is_named(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    chosen = old(directory, before=4e9)
    copy = (directory / str(chosen[0].name)).read_bytes()
    prune(directory, database, journal, chosen, before=4e9, who="operator:root")
    journal.close()
    (directory / str(chosen[0].name)).write_bytes(copy)
    assert any("pruned and is here again" in one.text for one in verify(directory, KEY, rows(database)).problems)


def test_nothing_young_and_nothing_open_is_pruned(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    assert old(directory, before=1e9) == []
    assert f"{journal._ledger._segment.name}" not in {str(one.name) for one in old(directory, before=4e9)}  # type: ignore[union-attr]


def test_the_tail_is_the_newest_of_all_writers(opened: Open, directory: Path) -> None:
    first, second = opened(), opened()
    for number in range(30):
        (first, second)[number % 2].note("probe", who="test", number=number)
    tail = Tail(directory)
    newest = [line.split(b'"number":')[1].split(b",")[0] for line in tail.newest(10)]
    assert newest == [b"%d" % number for number in range(20, 30)]
    first.note("probe", who="test", number=30)
    third = opened()
    third.note("probe", who="test", number=31)
    coming = tail.following()
    seen = [next(coming) for _ in range(3)]
    assert [b'"number":30' in seen[0], b"journal.opened" in seen[1], b'"number":31' in seen[2]] == [True] * 3


def _raw(directory: Path) -> list[str]:
    return [line for path in directory.glob("*.jsonl") for line in path.read_text().splitlines()]


def _booked(database: Database, number: int) -> None:
    """The rows come a moment later than the segments."""
    deadline = time.monotonic() + 5
    while len(rows(database)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_of_each_segment_a_batch_is_copied_so_that_none_waits_for_a_busy_one(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "BATCH", 10)
    for journal in [opened(database=database) for _ in range(2)]:
        calls(journal, 20)
    _booked(database, 2)
    assert Indexer(directory, database).step()
    assert list(Counter(entry.segment for entry in entries(database)).values()) == [10, 10]


def test_what_is_written_while_somebody_catches_up_is_left_to_others(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    _booked(database, 1)

    def reading(read: Callable[[], Any]) -> Any:
        found = read()
        calls(journal, 1)
        return found

    Indexer(directory, database, through=reading).catch_up()
    assert len(entries(database)) == 7


def test_what_somebody_else_has_copied_meanwhile_is_not_copied_twice(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database)
    calls(journal, 3)
    _booked(database, 1)

    def reading(read: Callable[[], Any]) -> Any:
        found = read()
        Indexer(directory, database).catch_up()
        return found

    Indexer(directory, database, through=reading).step()
    assert len(entries(database)) == 7


def test_a_segment_that_is_pruned_while_it_is_read_leaves_nothing_behind(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    _booked(database, 3)
    chosen = old(directory, before=4e9)

    def reading(read: Callable[[], Any]) -> Any:
        found = read()
        gone = [one for one in chosen if (directory / str(one.name)).exists()]
        prune(directory, database, journal, gone, before=4e9, who="operator:root")
        return found

    Indexer(directory, database, through=reading).step()
    assert not {entry.segment for entry in entries(database)} & {str(one.name) for one in chosen}


def test_how_long_the_oldest_record_waits_is_said(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    indexer = Indexer(directory, database)
    _booked(database, 1)
    indexer.catch_up()
    assert indexer.waiting() == 0
    journal.note("probe", who="test")
    time.sleep(0.02)
    assert indexer.waiting() >= 0.02
    assert indexer.waiting(lambda _name: False) == 0


def test_a_character_that_no_database_takes_is_found_by_its_record(
    opened: Open, directory: Path, database: Database
) -> None:
    opened(database=database).note("probe", who="some\0body")
    _booked(database, 1)
    (line,) = find(directory, database, Search(event="probe", who="some\ufffdbody"))
    assert json.loads(line)["who"] == "some\0body"
