"""The table of segments and the index on PostgreSQL, with several writers at once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel, col, select

from gateway.journal.index import Indexer
from gateway.journal.search import Search, find
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
