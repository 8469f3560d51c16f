"""T-62, the side of the call: what the catalogue no longer has cannot be called, and looks like what never was."""

from __future__ import annotations

from tests.fakes.door import NOTES, ask, catalogue, open_door, upstream


async def test_t_62_a_definition_that_drifted_between_list_and_call_is_gone(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        listed = (await ask(door, "tools/list")).json["result"]["tools"]
        assert "notes_add" in [tool["name"] for tool in listed]
        left = [each for each in NOTES if each.exposed != "notes_add"]
        door.snapshots.turn(catalogue=catalogue(left, [upstream("notes"), upstream("clock")], 2))
        drifted = await ask(door, "tools/call", {"name": "notes_add"})
        never = await ask(door, "tools/call", {"name": "notes_adx"})
        assert drifted.json["error"]["code"] == -32602
        assert drifted.body.replace(b"notes_add", b"notes_adx") == never.body
        assert "notes_add" not in [tool["name"] for tool in (await ask(door, "tools/list")).json["result"]["tools"]]
        assert door.upstreams.asks == []
