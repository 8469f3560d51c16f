"""The table of segments and the index on PostgreSQL, with several writers at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel, col, select

from gateway.journal.index.copying import Indexer
from gateway.journal.index.search import Search, find
from gateway.journal.verify import verify
from gateway.journal.writer import open_journal
from registry.database import Database
from registry.tables import Segment
from tests.gateway.journal.conftest import KEY, intend
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers


@pytest.fixture
def shared() -> Iterator[Database]:
    with postgresql() as url:
        database = Database(url)
        SQLModel.metadata.create_all(database.engine)
        yield database
        database.close()


def write(directory: Path, database: Database) -> None:
    journal = open_journal(directory, KEY, database, limit=20_000)
    for number in range(100):
        intend(journal, f"c{number}")
        journal.conclude(f"c{number}", "ok")
    journal.close()


def test_many_writers_make_one_chain_of_rows_and_one_index(directory: Path, shared: Database) -> None:
    acts = [threading.Thread(target=write, args=(directory, shared)) for _ in range(3)]
    for act in acts:
        act.start()
    for act in acts:
        act.join()
    with shared.read() as session:
        rows = session.exec(select(Segment).order_by(col(Segment.position))).all()
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) > 6
    report = verify(directory, KEY, rows)
    assert (report.problems, report.notes) == ([], [])
    copiers = [threading.Thread(target=Indexer(directory, shared).catch_up) for _ in range(2)]
    for copier in copiers:
        copier.start()
    for copier in copiers:
        copier.join()
    assert len(find(directory, shared, Search(limit=10_000))) == report.records


def stored(database: Database) -> list[Segment]:
    with database.read() as session:
        return list(session.exec(select(Segment).order_by(col(Segment.position))).all())


@pytest.fixture
def two_machines(tmp_path: Path, shared: Database) -> tuple[Path, Path]:
    """Two directories stand for two machines: what tells them apart is the place, which names both."""
    places = tmp_path / "a", tmp_path / "b"
    for place in places:
        write(place, shared)
    return places


def test_each_machine_checks_its_own_segments_and_says_who_keeps_the_others(
    two_machines: tuple[Path, Path], shared: Database
) -> None:
    rows = stored(shared)
    for own, other in (two_machines, two_machines[::-1]):
        report = verify(own, KEY, rows)
        assert report.problems == []
        (note,) = report.notes
        count = sum(str(other.resolve()) in row.place for row in rows)
        assert note.segment.endswith(f":{other.resolve()}")
        assert f"keeps {count} segments" in note.text


def test_a_segment_that_is_missing_on_its_own_machine_is_named(
    two_machines: tuple[Path, Path], shared: Database
) -> None:
    own, other = two_machines
    gone = next(own.glob("*.000002.jsonl"))
    gone.unlink()
    assert any(gone.name in str(one) and "is missing" in one.text for one in verify(own, KEY, stored(shared)).problems)
    assert verify(other, KEY, stored(shared)).sound


def test_a_row_that_was_given_another_place_is_named(two_machines: tuple[Path, Path], shared: Database) -> None:
    gone = next(two_machines[0].glob("*.000002.jsonl"))
    gone.unlink()
    with shared.change() as session:
        session.get_one(Segment, gone.name).place = "elsewhere:/journal"
    problems = [str(one) for one in verify(two_machines[0], KEY, stored(shared)).problems]
    assert any(gone.name in one and "was changed" in one for one in problems)


def test_each_machine_finds_the_records_of_all(two_machines: tuple[Path, Path], shared: Database) -> None:
    for directory in two_machines:
        Indexer(directory, shared).catch_up()
    found = [len(find(directory, shared, Search(event="call.intent", limit=10_000))) for directory in two_machines]
    assert found == [200, 200]


def test_a_character_that_postgresql_does_not_take_stops_no_copying(directory: Path, shared: Database) -> None:
    journal = open_journal(directory, KEY, shared)
    journal.note("probe", who="some\0body")
    journal.close()
    assert len(find(directory, shared, Search(event="probe", who="some\ufffdbody"))) == 1
