"""Security part 1, third row: absent and invisible are one and the same, also while the server behind is down."""

from __future__ import annotations

import time

from tests.fakes.door import NOTES, ask, catalogue, open_door, upstream


def with_dead_notes(door) -> None:
    dead = upstream("notes", stale_since=time.time() - 10_000)
    clock = upstream("clock")
    door.snapshots.turn(catalogue=catalogue(NOTES, [dead, clock], epoch=2))


async def test_t_41_an_invisible_tool_of_a_dead_server_is_as_unknown_as_one_that_never_was(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        with_dead_notes(door)
        there = await ask(door, "tools/call", {"name": "notes_secret", "arguments": {}}, who="reader")
        never = await ask(door, "tools/call", {"name": "notes_nevere", "arguments": {}}, who="reader")
        assert there.status == never.status == 200
        assert there.body.replace(b"secret", b"nevere") == never.body


async def test_t_41_who_may_see_it_is_told_that_its_server_is_down(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        with_dead_notes(door)
        got = await ask(door, "tools/call", {"name": "notes_add", "arguments": {}}, who="reader")
        assert (got.status, got.json["error"]["code"]) == (502, -32603)
        assert door.records("call.refused")[0]["reason"] == "stale"
