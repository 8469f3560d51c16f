"""Clients of earlier revisions, through the same door."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.upstream import Answer, AskRefused
from tests.fakes.deadlines import within
from tests.fakes.door import Legacy, Line, eventually, open_door


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
async def test_the_handshake_agrees_on_the_clients_version(tmp_path, version: str) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=version) as client:
        assert client.greeting["protocolVersion"] == version
        assert client.greeting["serverInfo"]["name"] == "ostiary"
        assert client.greeting["capabilities"]["tools"] == {"listChanged": True}
        assert (await client.say("ping")).json["result"] == {}


async def test_a_version_that_nobody_knows_is_countered_with_the_newest(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version="1999-01-01") as client:
        assert client.greeting["protocolVersion"] == "2025-11-25"


async def test_a_call_is_answered_without_what_came_later(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script = answers(
            {"content": [], "structuredContent": [1], "odd": {"x": 1.0}, "resultType": "complete"}
        )
        got = await client.say("tools/call", {"name": "notes_add"})
        assert got.json == {"jsonrpc": "2.0", "id": 1, "result": {"content": [], "odd": {"x": 1.0}}}


def answers(result: object):
    async def script(*_: object) -> Answer:
        return Answer(result=json.dumps(result).encode())

    return script


async def test_lists_have_the_older_shape(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, "reader") as client:
        got = (await client.say("tools/list")).json["result"]
        assert set(got) == {"tools"}
        assert [tool["name"] for tool in got["tools"]] == ["notes_add", "notes_delete"]


async def test_an_unknown_resource_has_its_older_code(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        got = await client.say("resources/read", {"uri": "note://NONE"})
        assert got.json["error"]["code"] == -32002


async def test_without_a_session_nothing_but_the_handshake_is_answered(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        client.headers = [each for each in client.headers if each[0] != "Mcp-Session-Id"]
        assert (await client.say("tools/list")).status == 400
        client.headers.append(("Mcp-Session-Id", "made-up"))
        assert (await client.say("tools/list")).status == 404


async def test_a_session_of_somebody_else_is_not_there(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as mine, Legacy(door, "reader") as theirs:
        theirs.headers = [*theirs.headers[:3], *mine.headers[3:]]
        assert (await theirs.say("tools/list")).status == 404


async def test_a_session_that_was_ended_is_gone(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        assert (await client.ask("DELETE", "/mcp", client.headers)).status == 204
        assert (await client.say("ping")).status == 404


async def test_a_legacy_server_asks_the_client_on_the_stream_of_the_call(tmp_path) -> None:
    async def asks(server, ask, down) -> Answer:
        said = await down.request("elicitation/create", b'{"message":"Sure?","requestedSchema":{"type":"object"}}')
        return Answer(result=b'{"resultType":"complete","content":[],"said":%s}' % said)

    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client, Line(door) as second:
        door.upstreams.script = asks
        await client.start("tools/call", {"name": "clock_now"})
        assert (await client.head()).headers["content-type"] == "text/event-stream"
        question = await client.event()
        assert question["method"] == "elicitation/create"
        assert question["params"]["message"] == "[Clock] Sure?"
        reply = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": {}}}
        for _ in range(2):  # the second is nobody's answer any more, and harmless
            assert (await second.ask("POST", "/mcp", client.headers, json.dumps(reply).encode())).status == 202
        assert (await client.event())["result"]["said"] == {"action": "accept", "content": {}}
        assert json.loads(door.upstreams.asks[0].capabilities) == {"elicitation": {}}


async def test_what_was_not_declared_is_not_asked(tmp_path) -> None:
    async def asks(server, ask, down) -> Answer:
        try:
            await down.request("sampling/createMessage", b"{}")
        except AskRefused as refused:
            return Answer(error=refused.error)
        raise AssertionError

    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client:
        door.upstreams.script = asks
        got = await client.say("tools/call", {"name": "clock_now"})
        assert got.headers["content-type"] == "application/json"
        assert got.json["error"]["code"] == -32601


async def test_a_modern_servers_question_is_told_to_a_client_that_cannot_be_asked(tmp_path) -> None:
    asked = {"resultType": "input_required", "requestState": "s", "inputRequests": {
        "ok": {"method": "elicitation/create", "params": {"message": "Delete it for good?"}}}}  # fmt: skip
    async with open_door(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script = answers(asked)
        result = (await client.say("tools/call", {"name": "notes_delete"})).json["result"]
        assert result["isError"] is True
        text = result["content"][0]["text"]
        assert "Notes" in text
        assert "Delete it for good?" in text
        assert "2026-07-28" in text


async def test_progress_and_messages_come_before_the_answer_under_the_clients_token(tmp_path) -> None:
    async def works(server, ask, down) -> Answer:
        await down.notify("notifications/message", b'{"level":"debug","data":"quiet"}')
        await down.notify("notifications/message", b'{"level":"error","data":"loud"}')
        await down.notify("notifications/progress", b'{"progress":1}')
        return Answer(result=b'{"resultType":"complete","content":[]}')

    async with open_door(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script = works
        assert (await client.say("logging/setLevel", {"level": "warning"})).json["result"] == {}
        got = await client.say("tools/call", {"name": "notes_add", "_meta": {"progressToken": 7}})
        assert [event.get("params", event.get("result")) for event in got.events] == [
            {"level": "error", "data": "loud"}, {"progressToken": 7, "progress": 1}, {"content": []},
        ]  # fmt: skip
        assert door.upstreams.asks[0].log_level == "warning"


async def test_hanging_up_cancels_nothing(tmp_path) -> None:
    gate = asyncio.Event()

    async def waits(*_: object) -> Answer:
        await gate.wait()
        return Answer(result=b'{"resultType":"complete","content":[]}')

    async with open_door(tmp_path) as door:
        door.upstreams.script = waits
        async with Legacy(door) as client:
            await client.start("tools/call", {"name": "notes_add"})
            await eventually(lambda: door.upstreams.asks)
        await asyncio.sleep(0.05)
        gate.set()
        await eventually(lambda: [each for each in door.records("call.outcome") if each["outcome"] == "ok"])


async def test_a_cancellation_cancels(tmp_path) -> None:
    cancelled = asyncio.Event()

    async def waits(*_: object) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as second:
        door.upstreams.script = waits
        await client.start("tools/call", {"name": "notes_add"}, ident="x")
        await eventually(lambda: door.upstreams.asks)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "x"}}
        assert (await second.ask("POST", "/mcp", client.headers, json.dumps(note).encode())).status == 202
        await within(cancelled.wait(), 20)
        assert (await client.answer()).events == []
        assert door.records("call.outcome")[-1]["outcome"] == "cancelled"


async def test_a_body_of_today_under_yesterdays_header_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        got = await client.say("tools/list", {"_meta": meta})
        assert (got.status, got.json["error"]["code"]) == (400, -32020)


async def test_the_stream_tells_of_changed_lists_and_followed_resources(tmp_path) -> None:
    from authz.policy.policy import Policy
    from authz.tables import Rule
    from gateway.upstream import FeedEvent
    from tests.fakes.door import RULES

    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as stream:
        assert (await client.say("resources/subscribe", {"uri": "note://one"})).json["result"] == {}
        assert "error" in (await client.say("resources/subscribe", {"uri": "note://NONE"})).json
        await stream.send("GET", "/mcp", client.headers)
        assert (await stream.head()).status == 200
        await stream.chunk()
        door.upstreams.feeds.put_nowait(FeedEvent("notes", "notifications/resources/updated", "note://one"))
        event = await stream.event()
        assert (event["method"], event["params"]) == ("notifications/resources/updated", {"uri": "note://one"})
        more = [*RULES, Rule(id="r9", subject="user:editor", object="clock.now", action="*", effect="deny")]
        door.snapshots.turn(policy=Policy(more, epoch=2))
        assert (await stream.event())["method"] == "notifications/tools/list_changed"
