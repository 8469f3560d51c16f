"""What calls of one round say is written at once, and nobody goes on before it is, or although it is not."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from gateway.journal import JournalDown
from gateway.journal.segments import SegmentFile
from gateway.portal.calls.recording import MOST, Recording
from tests.fakes.door import Line
from tests.fakes.servers.raw import raw_server
from tests.gateway.portal.calls.test_plans import answered, call, door_to, records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.fakes.door import Door

CALLERS = 12


@contextlib.asynccontextmanager
async def callers(door: Door) -> AsyncIterator[list[Line]]:
    """Connections whose next calls go by a plan, all at once."""
    async with contextlib.AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(Line(door)) for _ in range(CALLERS)]
        for line in lines:
            await call(door, line)
        await asyncio.gather(*(call(door, line) for line in lines))  # who opens connections goes the whole way
        yield lines


async def test_calls_that_come_together_share_their_writes(tmp_path, planned, monkeypatch) -> None:
    written: list[int] = []
    plain = SegmentFile.write

    def counting(self: SegmentFile, lines: bytes) -> None:
        written.append(lines.count(b"\n"))
        plain(self, lines)

    async with raw_server(answered) as server, door_to(server, tmp_path) as door, callers(door) as lines:
        monkeypatch.setattr(SegmentFile, "write", counting)
        before = len(planned)
        await asyncio.gather(*(call(door, line, str(number)) for number, line in enumerate(lines)))
        assert len(planned) == before + CALLERS
        assert sum(written) == 2 * CALLERS
        assert len(written) < CALLERS
        assert {intent["arguments"]["text"] for intent in door.records("call.intent")[-CALLERS:]} == {
            str(number) for number in range(CALLERS)
        }


async def test_t_80_none_of_them_leaves_if_the_write_fails_and_the_next_do(tmp_path, planned, monkeypatch) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, callers(door) as lines:
        heard, recorded = len(server.asked), len(records(door))
        with monkeypatch.context() as patch:
            patch.setattr(type(door.journal), "release", down)
            got = await asyncio.gather(*(call(door, line) for line in lines))
        assert {one.status for one in got} == {503}
        assert len(server.asked) == heard
        assert not len(door.world.underway)
        assert door.world.upstreams.strains()["notes"].under_way == 0
        assert not any(known.request.line.tasks for known in planned)
        door.journal._ledger.held.clear()  # as a write that fails does it
        opened = server.connections
        got = await asyncio.gather(*(call(door, line) for line in lines))
        assert {one.status for one in got} == {200}
        assert server.connections - opened < CALLERS  # the connections that had been taken were given back
        assert len(records(door)) == recorded + 2 * CALLERS


async def test_t_80_nobody_hears_an_answer_whose_outcome_could_not_be_written(tmp_path, planned, monkeypatch) -> None:
    async with raw_server(answered) as server, door_to(server, tmp_path) as door, Line(door) as line:
        await call(door, line)
        times = 0
        plain = type(door.journal).release

        def second_fails(journal: Any) -> None:
            nonlocal times
            times += 1
            down() if times == 2 else plain(journal)

        with monkeypatch.context() as patch:
            patch.setattr(type(door.journal), "release", second_fails)
            got = await call(door, line, "secret answer")
        assert got.status == 503
        assert b"secret answer" not in got.body
        assert len(server.asked) == 2
        assert not planned[0].request.line.tasks


class Paper:
    """A journal that counts how often it is written."""

    def __init__(self) -> None:
        self.written = 0
        self.fault: JournalDown | None = None

    def release(self) -> None:
        self.written += 1
        if self.fault:
            raise self.fault


async def test_all_of_a_round_wait_for_one_write_and_many_for_one_each() -> None:
    paper, gone = Paper(), list[object]()
    recording = Recording(paper)  # type: ignore[arg-type]
    for _ in range(MOST - 1):
        recording.then(gone.append)
    assert (paper.written, gone) == (0, [])
    await asyncio.sleep(0)
    assert (paper.written, gone) == (1, [None] * (MOST - 1))
    for _ in range(MOST):
        recording.then(gone.append)
    assert (paper.written, len(gone)) == (2, 2 * MOST - 1)
    await asyncio.sleep(0)
    assert paper.written == 2


async def test_what_is_put_off_later_comes_later() -> None:
    order: list[str] = []
    recording = Recording(Paper())  # type: ignore[arg-type]
    recording.then(lambda _: order.append("on record"))
    asyncio.get_running_loop().call_soon(order.append, "cancelled")
    await asyncio.sleep(0)
    assert order == ["on record", "cancelled"]


async def test_one_that_breaks_holds_up_none_of_the_others() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said))
    paper, gone = Paper(), list[object]()
    paper.fault = JournalDown("full")
    recording = Recording(paper)  # type: ignore[arg-type]
    recording.then(gone.append)
    recording.then(broken)
    recording.then(gone.append)
    await asyncio.sleep(0)
    assert gone == [paper.fault, paper.fault]
    assert isinstance(told[0]["exception"], ArithmeticError)


def broken(_: object) -> None:
    raise ArithmeticError


def down(*_: Any) -> None:
    raise JournalDown("full")
