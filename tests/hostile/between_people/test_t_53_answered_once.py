"""T-53 and T-72: what is said to keep a silent call's connection alive never comes behind its answer.

There it would be the beginning of the next answer on that connection, which through a proxy may be somebody else's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from gateway.portal.calls.plans import Known
from tests.fakes.door import Line, eventually
from tests.fakes.servers.raw import STREAM, Asked, event, http, raw_server, result
from tests.gateway.portal.calls.test_plans import call, door_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.door import Door

NOTICE = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}


def beaten(door: Door) -> None:
    """Who waits now has been silent for too long, and something is about to be said."""
    portal: Any = door.edge.portal
    for _ in range(2):
        portal._pulse._beat()


async def under_way(door: Door) -> Any:
    return await eventually(lambda: next((one for one in door.world.underway if isinstance(one, Known)), None))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are written with those of many others, so whoever waits for one need not wait for a round's end."""
    monkeypatch.setattr("gateway.portal.calls.recording.MOST", 1)


async def test_t_53_nothing_is_said_behind_an_answer_by_a_plan(tmp_path: Path, at_once: None) -> None:
    slow: list[Asked] = []

    async def respond(asked: Asked, _: asyncio.StreamWriter) -> bytes | None:
        if len(server.asked) == 3:
            slow.append(asked)
            return None
        return http(result(asked))

    async with raw_server(respond) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(2):
            assert (await call(door, line)).status == 200
        third = asyncio.create_task(call(door, line, ident=3))
        await eventually(lambda: slow)
        known = await under_way(door)
        beaten(door)
        known.trip.connection.data_received(http(result(slow[0])))
        assert (await third).json["id"] == 3
        assert (await call(door, line, ident=4)).json["id"] == 4


async def test_t_53_nothing_is_said_behind_an_answer_by_the_long_way(tmp_path: Path) -> None:
    slow: list[tuple[Asked, asyncio.StreamWriter]] = []

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if len(server.asked) == 3:
            slow.append((asked, writer))
            return None
        return http(result(asked))

    async with raw_server(respond) as server, door_to(server, tmp_path) as door, Line(door) as line:
        for _ in range(2):
            assert (await call(door, line)).status == 200
        third = asyncio.create_task(call(door, line, ident=3))
        await eventually(lambda: slow)
        (asked, writer), trip = slow[0], (await under_way(door)).trip
        writer.write(STREAM + event(NOTICE))
        await eventually(lambda: trip.reply._reader is not None)  # all that came was read
        trip.connection.data_received(event(result(asked)))
        beaten(door)
        assert (await third).json["id"] == 3
        assert (await call(door, line, ident=4)).json["id"] == 4
