"""The path of a modern call."""

from __future__ import annotations

from tests.fakes.door import ask, open_door


async def test_a_call_reaches_the_server_under_its_own_name_and_comes_back(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        got = await ask(door, "tools/call", {"name": "notes_add", "arguments": {"text": "hi"}}, ident="a-1")
        assert got.status == 200
        assert got.json["id"] == "a-1"
        assert got.json["result"]["content"][0]["text"] == '{"text": "hi"}'
        assert door.upstreams.asks[0].params["name"] == b'"add"'
        assert [line["event"] for line in door.records()][-2:] == ["call.intent", "call.outcome"]
