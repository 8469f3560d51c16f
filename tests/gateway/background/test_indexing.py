"""The gateway copies its journal for search while it runs; so does what is left of a worker that was killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import OperationalError

from gateway.background.indexing import BREATH, ENDED, IDLE, Indexing
from gateway.journal.index import Progress, copying
from gateway.journal.index.copying import Indexer
from gateway.journal.index.search import Search, newest
from gateway.journal.writer import open_journal
from registry.database import Database, sqlite_url
from registry.schema import migrate
from tests.fakes.gateway import Gateway
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.journal.index.blocks import Entry

DEADLINE = 60.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def found(gateway: Gateway, event: str) -> list[Entry]:
    """Of what is copied; nothing is copied by looking."""
    url = on_postgresql.environment(gateway.data).get("OSTIARY_DATABASE_URL") or sqlite_url(gateway.data)
    with closing(Database(url)) as database, database.read() as session:
        return list(newest(session, Search(event=event)))


def segments(gateway: Gateway) -> set[str]:
    return {path.name for path in (gateway.data / "journal").glob("*.jsonl")}


def workers(gateway: Gateway) -> list[int]:
    return [int(one) for one in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()]


class House(NamedTuple):
    """What of a `World` copying uses."""

    world: Any
    segment: Path

    def once(self, *, leader: bool = False) -> float:
        """Gives how long it would have waited for the next round."""
        over = Mock(wait=Mock(return_value=True))
        Indexing(self.world, leader=leader).run(over)
        (waited,) = over.wait.call_args.args
        return float(waited)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    journal = open_journal(tmp_path / "journal", b"k" * 32, database)
    assert journal.book.settled()
    (segment,) = (tmp_path / "journal").glob("*.jsonl")
    settings, office = SimpleNamespace(journal=journal.directory), SimpleNamespace(database=database)
    world = SimpleNamespace(settings=settings, office=office, journal=journal, index=Progress(), telemetry=Mock())
    yield House(world, segment)
    journal.close()
    database.close()


def test_what_cannot_be_copied_any_more_is_told(house: House) -> None:
    house.once()
    assert house.world.index.waiting == 0
    house.segment.write_bytes(b"more than there was" + house.segment.read_bytes())
    for _ in range(2):  # also when nothing is recorded any more
        house.once()
        assert house.world.index.waiting > 0


def test_where_there_is_more_it_goes_on_at_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BATCH", 100)
    house.world.journal.note("probe", who="test")
    assert [house.once() for _ in range(3)] == [BREATH, BREATH, IDLE]


def test_the_leading_one_says_how_far_behind_all_are(house: House) -> None:
    house.once()
    house.world.telemetry.waiting.assert_not_called()
    house.once(leader=True)
    house.world.telemetry.waiting.assert_called_once_with(0.0)


def test_a_fault_is_told_until_it_is_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in (OperationalError("", None, Exception()), FileNotFoundError()):
        with monkeypatch.context() as patch:
            patch.setattr(Indexer, "step", Mock(side_effect=fault))
            house.once()
        assert house.world.index.trouble == type(fault).__name__
    house.once()
    assert house.world.index.trouble == ""


def test_a_fault_that_ends_the_copying_is_told_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Indexer, "step", Mock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        house.once()
    assert house.world.index.trouble == ENDED


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_gateway_and_commands_record_is_found_a_moment_later(tmp_path: Path, count: int) -> None:
    with Gateway(tmp_path, "--workers", str(count)) as gateway:
        gateway.add_user("alice")
        until(lambda: len(found(gateway, "person.added")) == 1)
        until(lambda: {one.segment for one in found(gateway, "journal.opened")} == segments(gateway))


def test_what_a_killed_worker_has_left_is_found(tmp_path: Path) -> None:
    with Gateway(tmp_path, "--workers", "2") as gateway:
        until(lambda: len(workers(gateway)) == 2)
        for worker in workers(gateway):
            os.kill(worker, signal.SIGKILL)
        before = segments(gateway)
        until(lambda: len(segments(gateway)) >= len(before) + 2)
        until(lambda: {one.segment for one in found(gateway, "journal.opened")} == segments(gateway))
