"""A server that is of another era since a moment ago, as the clients see it who call it then."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream import Answer, UpstreamBroken
from gateway.upstream.messages import NotTaken
from registry.tables import Era
from tests.fakes.door import NOTES, ask, catalogue, echo, eventually, open_door, upstream

if TYPE_CHECKING:
    from gateway.upstream import Ask
    from tests.fakes.door import Door

ADD = {"name": "notes_add", "arguments": {"text": "hi"}}
REFUSED = NotTaken(UpstreamBroken("it did not take it"), "tools/call")


class Replaced:
    """What is told of a server whose every request is refused that is not of its era."""

    def __init__(self, door: Door, now: Era = Era.LEGACY) -> None:
        self.door, self.now, self.done = door, now, 0
        door.upstreams.script = self.asked
        door.upstreams.is_other = self.is_other  # type: ignore[method-assign]

    async def asked(self, server: Any, asked: Ask, down: Any) -> Answer:
        if server.era is not self.now:
            raise REFUSED
        self.done += 1
        return await echo(server, asked, down)

    async def is_other(self, server: Any, _credential: object) -> bool:
        return server.era is not self.now

    def known(self, **changes: Any) -> None:
        """It was read anew."""
        entries = [replace(entry, **changes) if entry.name == "add" else entry for entry in NOTES]
        servers = [upstream("notes", self.now), upstream("clock", Era.LEGACY)]
        self.door.snapshots.turn(catalogue=catalogue(entries, servers, epoch=2))


async def waiting(door: Door, calls: int = 1) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(ask(door, "tools/call", ADD)) for _ in range(calls)]
    await eventually(lambda: len(door.upstreams.asks) == calls)
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in tasks)
    return tasks


async def test_calls_wait_until_the_server_is_known_again_and_are_carried_out_once_each(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        server = Replaced(door)
        tasks = await waiting(door, 3)
        server.known()
        for got in await asyncio.gather(*tasks):
            assert got.json["result"]["content"][0]["text"] == '{"text": "hi"}'
        assert server.done == 3
        assert [line["outcome"] for line in door.records("call.outcome")] == ["ok"] * 3
        assert len(door.records("call.intent")) == 3


async def test_a_call_by_a_plan_is_carried_out_as_well(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        server = Replaced(door, Era.MODERN)
        assert "result" in (await ask(door, "tools/call", ADD)).json
        server.now = Era.LEGACY
        task = asyncio.create_task(ask(door, "tools/call", ADD))
        await eventually(lambda: len(door.upstreams.asks) == 2)
        server.known()
        assert "result" in (await task).json
        assert server.done == 2


@pytest.mark.parametrize("change", ["digest", "rule", "token"])
async def test_what_may_not_be_called_any_more_is_not_sent_again(tmp_path, change: str) -> None:
    """Its definition is another one than was approved; or a right ended meanwhile."""
    async with open_door(tmp_path) as door:
        server = Replaced(door)
        [task] = await waiting(door)
        if change == "rule":
            door.snapshots.turn(policy=type(door.snapshots.current.policy)([], epoch=2))
        elif change == "token":
            door.snapshots.turn(members={})
        server.known(**({"digest": "d-other"} if change == "digest" else {}))
        got = await task
        assert "error" in got.json
        assert server.done == 0
        [outcome] = door.records("call.outcome")
        assert outcome["outcome"] in {"broken", "revoked"}


async def test_a_server_that_is_what_it_was_is_asked_once(tmp_path) -> None:
    async def refuses(*_: object) -> Answer:
        raise REFUSED

    async with open_door(tmp_path) as door:
        door.upstreams.script = refuses
        got = await ask(door, "tools/call", ADD)
        assert (got.status, len(door.upstreams.asks)) == (502, 1)
        assert door.records("call.outcome")[-1]["outcome"] == "broken"


async def test_an_answer_that_was_meant_so_goes_on_as_it_is(tmp_path) -> None:
    async def refuses(*_: object) -> Answer:
        return Answer(error=b'{"code":-32000,"message":"no"}', strange="tools/call")

    async with open_door(tmp_path) as door:
        door.upstreams.script = refuses
        got = await ask(door, "tools/call", ADD)
        assert got.json["error"]["code"] == -32000
        assert door.records("call.outcome")[-1]["outcome"] == "error"


async def test_what_was_refused_in_the_middle_of_a_call_is_not_begun_again(tmp_path) -> None:
    """A look at a task that the call became: the call itself was taken."""

    async def refuses(*_: object) -> Answer:
        raise NotTaken(UpstreamBroken("it did not take it"), "tasks/get")

    async def yes(*_: object) -> bool:
        return True

    async with open_door(tmp_path) as door:
        door.upstreams.script, door.upstreams.is_other = refuses, yes  # type: ignore[method-assign]
        got = await ask(door, "tools/call", ADD)
        assert (got.status, len(door.upstreams.asks)) == (502, 1)
