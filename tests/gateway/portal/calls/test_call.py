"""The path of a modern call."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway.journal import JournalDown
from gateway.upstream import Answer, UpstreamBroken, UpstreamBusy, UpstreamSlow, UpstreamUnreachable
from tests.fakes.deadlines import within
from tests.fakes.door import Line, ask, eventually, modern, open_door

ADD = {"name": "notes_add", "arguments": {"text": "hi"}}


async def test_a_call_reaches_the_server_under_its_own_name_and_comes_back(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        got = await ask(door, "tools/call", ADD, ident="a-1")
        assert got.status == 200
        assert got.json["id"] == "a-1"
        assert got.json["result"]["content"][0]["text"] == '{"text": "hi"}'
        assert door.upstreams.asks[0].params["name"] == b'"add"'
        assert [line["event"] for line in door.records()][-2:] == ["call.intent", "call.outcome"]


async def test_the_intent_is_on_record_before_anything_leaves_and_the_outcome_before_the_answer(tmp_path) -> None:
    seen: list[str] = []

    async with open_door(tmp_path) as door:

        async def looks(*_: object) -> Answer:
            seen.extend(line["event"] for line in door.records())
            return Answer(result=b'{"resultType":"complete","content":[],"isError":true}')

        door.upstreams.script = looks
        await ask(door, "tools/call", ADD)
        assert seen[-1] == "call.intent"
        assert door.records("call.outcome")[-1]["outcome"] == "tool_error"


async def test_what_the_server_says_passes_byte_true(tmp_path) -> None:
    result = (
        b'{"resultType":"complete", "content":[{"type":"hologram","z":1.0}],'
        b'"structuredContent":null,"_meta":{"a/b":null},"n":12345678901234567890}'
    )

    async def says(*_: object) -> Answer:
        return Answer(result=result)

    async with open_door(tmp_path) as door:
        door.upstreams.script = says
        got = await ask(door, "tools/call", ADD)
        assert got.body == b'{"jsonrpc":"2.0","id":1,"result":' + result + b"}"


async def test_a_visible_tool_is_refused_in_band_with_reason_and_decision(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        got = await ask(door, "tools/call", {"name": "notes_delete"}, who="reader")
        result = got.json["result"]
        assert (got.status, result["isError"]) == (200, True)
        assert len(result["content"][0]["text"]) > 20
        record = door.records("call.refused")[-1]
        assert record["decision"] == result["_meta"]["dev.ostiary/decision"]
        assert record["object"] == "notes.delete"
        assert door.upstreams.asks == []


@pytest.mark.parametrize(
    ("method", "params"), [("prompts/get", {"name": "notes_ask"}), ("resources/read", {"uri": "note://one"})]
)
async def test_visible_prompts_and_resources_are_refused_with_4030(tmp_path, method: str, params: dict) -> None:
    async with open_door(tmp_path) as door:
        got = await ask(door, method, params, who="reader")
        error = got.json["error"]
        assert (got.status, error["code"]) == (200, 4030)
        assert set(error["data"]) == {"reason", "remedy", "decision"}


async def test_absent_and_invisible_are_one_and_the_same(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        hidden = await ask(door, "tools/call", {"name": "notes_secret"}, who="reader")
        absent = await ask(door, "tools/call", {"name": "notes_secrex"}, who="reader")
        assert hidden.body.replace(b"secret", b"secrex") == absent.body
        assert (hidden.status, hidden.json["error"]["code"]) == (200, -32602)
        assert [line["reason"] for line in door.records("call.refused")] == ["invisible", "unknown"]


async def test_a_token_that_is_too_narrow_is_challenged(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(scope="clock.*"), "tools/call", ADD)
        got = await line.ask("POST", "/mcp", headers, body)
        assert got.status == 403
        assert 'error="insufficient_scope"' in got.headers["www-authenticate"]
        assert "notes.add" in got.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [
        (UpstreamUnreachable("cannot be reached"), 502, "broken"),
        (UpstreamBroken("broken"), 502, "broken"),
        (UpstreamSlow("slow"), 504, "timeout"),
        (UpstreamBusy("busy", 7), 503, "broken"),
    ],
)
async def test_a_server_that_fails_has_its_status_and_its_outcome(tmp_path, error, status: int, outcome: str) -> None:
    async def fails(*_: object) -> Answer:
        raise error

    async with open_door(tmp_path) as door:
        door.upstreams.script = fails
        got = await ask(door, "tools/call", ADD)
        assert (got.status, got.json["error"]["code"], got.json["id"]) == (status, -32603, 1)
        assert door.records("call.outcome")[-1]["outcome"] == outcome
        assert got.headers.get("retry-after", "7") == "7"


async def test_what_cannot_be_recorded_does_not_leave(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door:

        def down(*_: object, **__: object) -> None:
            raise JournalDown

        monkeypatch.setattr(type(door.journal), "intend", down)
        got = await ask(door, "tools/call", ADD)
        assert got.status == 503
        assert door.upstreams.asks == []


async def test_an_answer_whose_outcome_cannot_be_recorded_does_not_arrive(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door:

        def down(*_: object, **__: object) -> None:
            raise JournalDown

        monkeypatch.setattr(type(door.journal), "conclude", down)
        got = await ask(door, "tools/call", ADD)
        assert got.status == 503
        assert b"result" not in got.body


async def test_hanging_up_cancels_the_call_at_the_server(tmp_path) -> None:
    cancelled = asyncio.Event()

    async def waits(*_: object) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    async with open_door(tmp_path) as door:
        door.upstreams.script = waits
        async with Line(door) as line:
            await line.send("POST", "/mcp", *modern(door.token(), "tools/call", ADD))
            await eventually(lambda: door.upstreams.asks)
        await within(cancelled.wait(), 20)
        await eventually(lambda: door.records("call.outcome"))
        assert door.records("call.outcome")[-1]["outcome"] == "cancelled"


async def test_what_is_said_before_the_answer_makes_it_a_stream(tmp_path) -> None:
    async def works(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{\n"progress":1}')
        await down.notify("notifications/message", b'{"level":"error","data":"not asked for"}')
        await down.notify("notifications/tools/list_changed", b"{}")
        return Answer(result=b'{"resultType":"complete","content":[]}')

    async with open_door(tmp_path) as door:
        door.upstreams.script = works
        got = await ask(door, "tools/call", {**ADD, "_meta": {"progressToken": "p"}}, ident=9)
        assert got.headers["content-type"] == "text/event-stream"
        assert got.headers["x-accel-buffering"] == "no"
        assert [event.get("method", "answer") for event in got.events] == ["notifications/progress", "answer"]
        assert got.events[0]["params"] == {"progressToken": "p", "progress": 1}
        assert got.events[1]["id"] == 9


async def test_a_client_that_takes_no_stream_gets_the_answer_alone(tmp_path) -> None:
    async def works(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        return Answer(result=b'{"resultType":"complete","content":[]}')

    async with open_door(tmp_path) as door, Line(door) as line:
        door.upstreams.script = works
        headers, body = modern(door.token(), "tools/call", {**ADD, "_meta": {"progressToken": "p"}})
        headers = [("Accept", "application/json") if name == "Accept" else (name, value) for name, value in headers]
        assert (await line.ask("POST", "/mcp", headers, body)).json["result"]["content"] == []


async def test_what_is_ours_and_the_envelope_do_not_travel_and_the_rest_does(tmp_path) -> None:
    meta = {
        "dev.ostiary/decision": "forged",
        "com.example/x": [1.0],
        "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    }
    capabilities = {"sampling": {}, "elicitation": {}, "extensions": {"io.modelcontextprotocol/tasks": {}, "a/b": {}}}
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities
    async with open_door(tmp_path) as door:
        await ask(door, "tools/call", {**ADD, "_meta": meta})
        left = door.upstreams.asks[0]
        assert set(left.meta) == {"com.example/x", "traceparent"}
        assert json.loads(left.capabilities) == {"sampling": {}, "elicitation": {}, "extensions": {"a/b": {}}}


async def test_completion_is_asked_of_the_server_that_has_the_prompt(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        params = {"ref": {"type": "ref/prompt", "name": "notes_ask"}, "argument": {"name": "x", "value": "y"}}
        assert (await ask(door, "completion/complete", params)).status == 200
        assert json.loads(door.upstreams.asks[0].params["ref"]) == {"type": "ref/prompt", "name": "ask"}
        assert (await ask(door, "completion/complete", params, who="nobody")).json["error"]["code"] == -32602


async def test_completion_needs_the_right_to_use_the_prompt_and_not_just_to_see_it(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        params = {"ref": {"type": "ref/prompt", "name": "notes_ask"}, "argument": {"name": "x", "value": "y"}}
        assert (await ask(door, "completion/complete", params, who="reader")).json["error"]["code"] == 4030
        assert door.upstreams.asks == []


async def test_a_resource_is_found_by_its_uri_or_by_its_template(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        for uri in ("note://one", "note://other"):
            assert "result" in (await ask(door, "resources/read", {"uri": uri})).json
        got = await ask(door, "resources/read", {"uri": "note://NO"})
        assert got.json["error"] == {"code": -32602, "message": "Unknown resource", "data": {"uri": "note://NO"}}
        assert [each.name for each in door.upstreams.asks] == ["note://one", "note://other"]


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [("initialize", 404, -32601), ("ping", 404, -32601), ("tasks/get", 404, -32601), ("nonsense", 404, -32601)],
)
async def test_methods_that_are_not_of_today_are_not_found(tmp_path, method: str, status: int, code: int) -> None:
    async with open_door(tmp_path) as door:
        got = await ask(door, method)
        assert (got.status, got.json["error"]["code"]) == (status, code)


async def test_a_notification_is_taken_and_not_answered(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", ADD)
        message = json.loads(body)
        del message["id"]
        got = await line.ask("POST", "/mcp", headers, json.dumps(message).encode())
        assert (got.status, got.body) == (202, b"")
        assert door.upstreams.asks == []


@pytest.mark.parametrize("verb", ["GET", "DELETE", "PUT", "HEAD"])
async def test_other_verbs_are_not_for_here(tmp_path, verb: str) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        got = await line.ask(verb, "/mcp", [("Authorization", f"Bearer {door.token()}")])
        assert (got.status, got.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("said", ['"ttlMs":5,"cacheScope":"public",', ""])
async def test_what_was_read_is_for_one_whatever_the_server_says(tmp_path, said: str) -> None:
    async def says(*_: object) -> Answer:
        return Answer(result=b'{"resultType":"complete",%s"contents":[{"z":1.0}]}' % said.encode())

    async with open_door(tmp_path) as door:
        door.upstreams.script = says
        got = await ask(door, "resources/read", {"uri": "note://one"})
        assert got.json["result"]["cacheScope"] == "private"
        assert got.json["result"]["ttlMs"] == (5 if said else 0)
        assert b'"contents":[{"z":1.0}]' in got.body
