"""T-84: a call that is under way when something is revoked is taken back; its answer reaches nobody."""

from __future__ import annotations

import asyncio

import pytest

from authz.policy.policy import Policy
from authz.tokens.cutoffs import Cut, CutOffs
from gateway.upstream import Answer
from tests.fakes.door import Legacy, Line, catalogue, eventually, modern, open_door

CALL = {"name": "notes_add", "arguments": {"text": "hi"}}
NOW = 1e12


def without_a_tool(door):
    return catalogue([], list(door.snapshots.current.catalogue.upstreams.values()), epoch=2)


REVOKED = {
    "the person": lambda _: {"members": {}},
    "the person's tokens": lambda _: {"cutoffs": CutOffs({(Cut.PERSON, "editor"): NOW})},
    "the client": lambda _: {"clients": frozenset({"other"})},
    "the client's tokens": lambda _: {"cutoffs": CutOffs({(Cut.CLIENT, "app"): NOW})},
    "the rule": lambda _: {"policy": Policy([], epoch=2)},
    "the tool": lambda door: {"catalogue": without_a_tool(door)},
}


class Waiting:
    """A server that keeps its answer back."""

    def __init__(self) -> None:
        self.asked, self.may_answer, self.given_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, *_: object) -> Answer:
        self.asked.set()
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return Answer(result=b'{"content":[{"type":"text","text":"canary"}]}')


@pytest.mark.parametrize("changes", REVOKED.values(), ids=list(REVOKED))
async def test_t_84_a_call_under_way_is_taken_back(tmp_path, changes) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        server = door.upstreams.script = Waiting()
        await line.send("POST", "/mcp", *modern(door.token(), "tools/call", CALL))
        await server.asked.wait()

        door.snapshots.turn(**changes(door))
        door.world.underway.recall(door.snapshots.current)
        got = await line.answer()

        assert server.given_up.is_set()
        assert b"canary" not in got.body
        assert got.status == 403
        assert got.json["id"] == 1
        assert [record["outcome"] for record in door.records("call.outcome")] == ["revoked"]
        assert len(door.world.underway) == 0


async def test_t_84_a_legacy_call_under_way_is_taken_back_too(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as line:
        server = door.upstreams.script = Waiting()
        await line.start("tools/call", CALL, ident=7)
        await server.asked.wait()

        door.snapshots.turn(members={})
        door.world.underway.recall(door.snapshots.current)
        got = await line.answer()

        assert (got.status, got.json["id"]) == (403, 7)
        assert b"canary" not in got.body
        assert [record["outcome"] for record in door.records("call.outcome")] == ["revoked"]


async def test_t_84_the_calls_of_others_go_on(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as mine, Line(door) as theirs:
        server = door.upstreams.script = Waiting()
        await mine.send("POST", "/mcp", *modern(door.token("editor"), "tools/call", CALL))
        await theirs.send("POST", "/mcp", *modern(door.token("reader"), "tools/call", CALL))
        await eventually(lambda: len(door.world.underway) == 2)

        door.snapshots.turn(cutoffs=CutOffs({(Cut.PERSON, "editor"): NOW}))
        door.world.underway.recall(door.snapshots.current)
        assert (await mine.answer()).status == 403
        server.may_answer.set()

        got = await theirs.answer()
        assert (got.status, b"canary" in got.body) == (200, True)


async def test_a_token_that_only_expires_while_its_call_waits_gets_the_answer(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        server = door.upstreams.script = Waiting()
        await line.send("POST", "/mcp", *modern(door.token(life=1), "tools/call", CALL))
        await server.asked.wait()
        monkeypatch.setattr("gateway.portal.lasting.time.time", lambda: 4e9)

        door.snapshots.turn()
        door.world.underway.recall(door.snapshots.current)
        server.may_answer.set()

        assert (await line.answer()).status == 200
