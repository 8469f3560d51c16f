"""JSON-RPC batches of 2025-03-26."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.portal.legacy import batches
from gateway.problems import Problem
from gateway.upstream import Answer
from tests.fakes.door import Legacy, Line, eventually, open_door

OLD = "2025-03-26"
DONE = Answer(result=b'{"resultType":"complete","content":[]}')


def request(ident: object, method: str = "ping", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "method": method, "params": params}


def call(ident: object, name: str = "notes_add", **more: Any) -> dict[str, Any]:
    return request(ident, "tools/call", name=name, **more)


def notice(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


async def test_each_message_has_its_own_answer_in_one_array(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        got = await client.post(
            [request(1), notice("notifications/initialized"), call("two"), request(3, "tools/list")]
        )
        assert (got.status, got.headers["content-type"]) == (200, "application/json")
        answers = {each["id"]: each["result"] for each in got.json}
        assert set(answers) == {1, "two", 3}
        assert answers[1] == {}
        assert answers["two"]["content"]
        assert answers[3]["tools"]


async def test_each_call_is_decided_and_recorded_for_itself(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, "reader", version=OLD) as client:
        got = await client.post([call(1), call(2, "notes_delete"), call(3, "notes_secret"), call(4, "absent")])
        answers = {each["id"]: each for each in got.json}
        assert "isError" not in answers[1]["result"]
        assert answers[2]["result"]["isError"] is True
        assert answers[3]["error"]["code"] == answers[4]["error"]["code"] == -32602
        assert len(door.upstreams.asks) == 1
        assert len(door.records("call.intent")) == len(door.records("call.outcome")) == 1
        assert len(door.records("call.refused")) == 3


async def test_one_that_breaks_harms_no_other(tmp_path) -> None:
    async def some(server, ask, down) -> Answer:
        if b"bad" in ask.params["arguments"]:
            raise Problem(502, -32603, "broken")
        return DONE

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        door.upstreams.script = some
        got = await client.post([call(1, arguments={"x": "bad"}), request(2, "no/such"), call(3, arguments={})])
        answers = {each["id"]: each for each in got.json}
        assert answers[1]["error"]["message"] == "broken"
        assert answers[2]["error"]["code"] == -32601
        assert answers[3]["result"] == {"content": []}


async def test_what_has_no_answer_is_accepted_without_one(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        got = await client.post([notice("notifications/initialized"), {"jsonrpc": "2.0", "id": "x", "result": {}}])
        assert (got.status, got.body) == (202, b"")


async def test_what_is_said_meanwhile_makes_it_a_stream(tmp_path) -> None:
    async def works(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        return DONE

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        door.upstreams.script = works
        got = await client.post([call(1, _meta={"progressToken": "p"}), call(2), request(3)])
        assert got.headers["content-type"] == "text/event-stream"
        assert {each["id"] for each in got.events if "result" in each} == {1, 2, 3}
        assert [each["params"] for each in got.events if "method" in each] == [{"progressToken": "p", "progress": 1}]


async def test_large_answers_are_not_held_for_the_others(tmp_path) -> None:
    async def large(*_: object) -> Answer:
        return Answer(result=b'{"resultType":"complete","content":[],"x":"%s"}' % (b"a" * 700_000))

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        door.upstreams.script = large
        got = await client.post([call(number) for number in range(4)])
        assert got.headers["content-type"] == "text/event-stream"
        assert sorted(each["id"] for each in got.events) == [0, 1, 2, 3]


async def test_who_takes_no_events_gets_no_more_than_can_be_held(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(batches, "HELD_MOST", 1000)

    async def large(*_: object) -> Answer:
        return Answer(result=b'{"resultType":"complete","content":[],"x":"%s"}' % (b"a" * 700))

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        client.headers = [
            ("Accept", "application/json") if name == "Accept" else (name, value) for name, value in client.headers
        ]
        door.upstreams.script = large
        got = await client.post([call(number) for number in range(3)])
        assert sorted("result" in each for each in got.json) == [False, False, True]
        assert {each["id"] for each in got.json} == {0, 1, 2}


async def test_a_batch_is_no_way_to_have_more_done_at_a_time(tmp_path) -> None:
    gate, running = asyncio.Event(), 0

    async def waits(*_: object) -> Answer:
        nonlocal running
        running += 1
        await gate.wait()
        return DONE

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        door.upstreams.script = waits
        body = json.dumps([call(number) for number in range(10)]).encode()
        await client.send("POST", "/mcp", client.headers, body)
        await eventually(lambda: running == batches.AT_ONCE)
        await asyncio.sleep(0.05)
        assert running == batches.AT_ONCE
        gate.set()
        assert len((await client.answer()).json) == 10


async def test_one_call_of_a_batch_can_be_cancelled(tmp_path) -> None:
    async def waits(server, ask, down) -> Answer:
        if b"long" in ask.params["arguments"]:
            await asyncio.Event().wait()
        return DONE

    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client, Line(door) as second:
        door.upstreams.script = waits
        body = json.dumps([call(1, arguments={"x": "long"}), call(2, arguments={})]).encode()
        await client.send("POST", "/mcp", client.headers, body)
        await eventually(lambda: len(door.upstreams.asks) == 2)
        note = json.dumps(notice("notifications/cancelled", requestId=1)).encode()
        assert (await second.ask("POST", "/mcp", client.headers, note)).status == 202
        assert [each["id"] for each in (await client.answer()).json] == [2]


@pytest.mark.parametrize(
    "batch",
    [
        [],
        [1],
        [[request(1)]],
        [request(1), request(1)],
        [request(1, "initialize", protocolVersion=OLD, capabilities={})],
        [request(number) for number in range(batches.MOST + 1)],
        [call(1), {"jsonrpc": "2.0", "id": None, "method": "ping"}],
    ],
)
async def test_a_batch_that_is_not_in_order_is_refused_before_anything_is_done(tmp_path, batch: object) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        got = await client.post(batch)
        assert (got.status, got.json["error"]["code"]) == (400, -32600)
        assert door.upstreams.asks == []
        assert door.records("request.refused")


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_revisions_without_batches_refuse_them(tmp_path, version: str) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=version) as client:
        got = await client.post([request(1)])
        assert (got.status, got.json["error"]["code"]) == (400, -32600)


async def test_a_batch_without_a_session_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        client.headers = client.headers[:3]
        assert (await client.post([request(1)])).status == 400


messages = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just({"jsonrpc": "2.0", "method": "ping", "id": 1}),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(messages, max_size=6))
def test_nothing_but_plain_messages_ever_comes_out_of_a_batch(batch: list[object]) -> None:
    try:
        found = batches.read(json.dumps(batch).encode())
    except Problem:
        return
    assert len(found) == len(batch)
    assert all(isinstance(each, dict) for each in batch)
