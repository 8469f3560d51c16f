"""T-59 and T-70: where a request ends, another may begin, and that need not have come as a whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.fakes.door import Line, open_door
from tests.gateway.edge.test_requests import written

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.door import Door

BEGUN = {
    "in a header": (b"GET /nowhere HTTP/1.1\r\nX: ", 404),
    "in its first line": (b"GET /", 400),
    "after one letter": (b"G", 400),
}


async def after(door: Door, line: Line, call: bytes, begun: bytes) -> None:
    """The head of `call` is known on this line, on which a request has begun behind another."""
    for _ in range(3):
        assert (await line.raw(call)).status == 200
    line.writer.write(call[:40])
    await asyncio.sleep(0.02)
    assert (await line.raw(call[40:] + begun)).status == 200
    assert len(door.upstreams.asks) == 4


@pytest.mark.parametrize(("begun", "status"), BEGUN.values(), ids=BEGUN)
async def test_t_59_what_goes_on_with_a_head_is_no_request_of_its_own(
    tmp_path: Path, begun: bytes, status: int
) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        call = written(door)
        await after(door, line, call, begun)
        assert (await line.raw(call)).status == status
        assert len(door.upstreams.asks) == 4


async def test_t_59_the_method_is_that_of_the_first_line(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        call = written(door)
        await after(door, line, call, b"")
        line.writer.write(call[:40])
        await asyncio.sleep(0.02)
        begun = b"GET /mcp HTTP/1.1\r\nX: "
        assert (await line.raw(call[40:] + begun)).status == 200
        assert (await line.raw(call)).status == 405
        assert len(door.upstreams.asks) == 5


async def test_t_70_a_head_behind_another_request_has_to_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.connection.HEAD_DEADLINE", 1.0)
    async with open_door(tmp_path) as door, Line(door) as line:
        await after(door, line, written(door), b"POST /mcp HTTP/1.1\r\nHo")
        assert (await line.answer()).status == 408


async def test_t_70_a_head_that_we_keep_waiting_is_not_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.connection.HEAD_DEADLINE", 0.6)
    async with open_door(tmp_path) as door, Line(door) as line:
        call, go = written(door), asyncio.Event()
        said = door.upstreams.script

        async def slow(*asked: object) -> object:
            await go.wait()
            return await said(*asked)

        door.upstreams.script = slow
        line.writer.write(call + call + call[:40])
        await asyncio.sleep(0.9)
        go.set()
        for _ in range(2):
            assert (await line.answer()).status == 200
        assert (await line.raw(call[40:])).status == 200
