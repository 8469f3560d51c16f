"""T-80 and P-1: who waits for a record that was written together with others hears of it when it was not."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

import pytest

from gateway.journal import JournalDown, ledger
from gateway.portal.calls.recording import Recording
from tests.fakes.door import Line
from tests.fakes.servers.raw import Asked, http, raw_server, result
from tests.gateway.journal.conftest import intend
from tests.gateway.portal.calls.test_plans import call, door_to
from tests.hostile.journal.test_t_80_a_failing_disk_refuses import Failing, failing, fails, journal, note, records

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.writer import FileJournal

__all__ = ["failing", "journal"]


@pytest.mark.parametrize("others", [0, 1, 2, 3])
async def test_t_80_no_call_leaves_whose_record_was_lost_with_those_of_others(
    journal: FileJournal, failing: Failing, tmp_path: Path, others: int
) -> None:
    heard: list[JournalDown | None] = []
    intend(journal, "held", held=True)
    Recording(journal).then(heard.append)
    failing.fault = fails(errno.ENOSPC)
    for number in range(others):
        with pytest.raises(JournalDown):
            note(journal, number)
    await asyncio.sleep(0)
    assert [type(one) for one in heard] == [JournalDown]
    assert [record for record in records(tmp_path) if record.get("call") == "held"] == []


async def test_t_80_nor_where_it_was_not_the_disk(
    journal: FileJournal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def no_room(*_: Any) -> Any:
        raise MemoryError

    heard: list[JournalDown | None] = []
    for others in (0, 1):
        intend(journal, "held", held=True)
        Recording(journal).then(heard.append)
        with monkeypatch.context() as patched:
            patched.setattr(ledger, "chained", no_room)
            for number in range(others):
                with pytest.raises(MemoryError):
                    note(journal, number)
            if not others:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert [type(one) for one in heard] == [JournalDown, JournalDown]
    note(journal, 2)
    assert [record["event"] for record in records(tmp_path)] == ["journal.opened", "probe"]


async def test_t_80_a_call_that_could_not_be_recorded_takes_no_place_at_its_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def respond(asked: Asked, _: asyncio.StreamWriter) -> bytes:
        return http(result(asked))

    def no_room(*_: Any, **__: Any) -> Any:
        raise MemoryError

    async with raw_server(respond) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(2):
            assert (await call(door, line)).status == 200
        with monkeypatch.context() as patched:
            patched.setattr(door.journal, "intend", no_room)
            assert (await call(door, line)).status == 503
        (plan,) = [plan for head in door.edge.heads._kept._kept.values() for plan in head.found.plans.values()]
        assert plan.way.gate.under_way == 0
        assert (await call(door, line)).status == 200
        assert server.connections == 1
        assert len(server.asked) == 3
