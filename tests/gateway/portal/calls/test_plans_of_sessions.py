"""Calls by plans where a client or a server is of an earlier revision: the same in all that can be seen of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gateway.portal import reply
from gateway.portal.legacy import sessions
from gateway.upstream.legacy import sessions as upstream_sessions
from registry.tables import Era
from tests.fakes.door import Door, Got, Legacy, Line, eventually, open_door
from tests.fakes.servers.raw import Asked, error, http, raw_server
from tests.gateway.portal.calls.test_plans import call as modern_call
from tests.gateway.portal.calls.test_plans import door_to, records, serving
from tests.gateway.portal.ending import ENDS, Server
from tests.gateway.portal.test_two_processes import two_doors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CLIENTS = ["modern", "legacy"]
PAIRS = [("legacy", "modern"), ("modern", "legacy"), ("legacy", "legacy")]
CALL = {"name": "notes_add", "arguments": {"text": "hi"}}


class Client:
    """A client of either era, on one line."""

    def __init__(self, door: Door, line: Line) -> None:
        self.door = door
        self.line = line

    async def call(self, text: str = "hi", ident: Any = 1) -> Got:
        if isinstance(self.line, Legacy):
            return await self.line.say("tools/call", {"name": "notes_add", "arguments": {"text": text}}, ident)
        return await modern_call(self.door, self.line, text, ident=ident)


@contextlib.asynccontextmanager
async def client_of(era: str, door: Door) -> AsyncIterator[Client]:
    async with Legacy(door) if era == "legacy" else Line(door) as line:
        yield Client(door, line)


def shown(got: Got) -> tuple[int, Any]:
    """What a client makes of an answer, whole or as a stream, but for what is drawn anew each time."""
    events = got.headers.get("content-type") == "text/event-stream"
    text = json.dumps(got.events if events else got.json if got.body else None, sort_keys=True)
    return got.status, re.sub(r'"(requestState|dev\.ostiary/decision)": "[^"]*"', "", text)


def calls(server: Any) -> list[dict[str, Any]]:
    return [one.message for one in server.asked_for("tools/call")]


@pytest.mark.parametrize("streams", [False, True], ids=["json", "events"])
@pytest.mark.parametrize(("client", "server"), [("modern", "modern"), *PAIRS])
async def test_the_second_call_goes_by_a_plan_and_is_like_the_first(tmp_path, planned, client, server, streams) -> None:
    echo = Server(server, streams)
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=echo.registered) as door:
        async with client_of(client, door) as asking:
            got = [await asking.call(text, ident) for text, ident in (("one", 1), ("two", "b"), ("six", 3))]
        assert len(planned) == 2
        assert all(one.full is None for one in planned)  # none needed the long way
        assert [json.loads(one.json["result"]["content"][0]["text"])["text"] for one in got] == ["one", "two", "six"]
        assert [one.json["id"] for one in got] == [1, "b", 3]
        assert ["resultType" in one.json["result"] for one in got] == [client == "modern"] * 3
        said = calls(raw)
        assert len({one["id"] for one in said}) == 3
        for one in said:
            one["params"] = {**one["params"], "arguments": {}}
        assert {json.dumps({**one, "id": 0}, sort_keys=True) for one in said} == {
            json.dumps({**said[0], "id": 0}, sort_keys=True)
        }
        heads = {re.sub(rb"Content-Length: \d+", b"", one.head) for one in raw.asked_for("tools/call")}
        assert len(heads) == 1
        intent, outcome, *others = [{**one, "arguments": {}} for one in records(door)]
        assert others == [intent, outcome] * 2
        assert door.world.upstreams.in_flight == 0
        assert echo.greeted == (server == "legacy")


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.parametrize(("client", "server"), PAIRS)
async def test_whatever_its_end_the_client_and_the_record_have_the_same(tmp_path, planned, client, server, end) -> None:
    """Once as the first of its kind and once by a plan."""
    echo = Server(server)
    async with raw_server(echo) as raw:
        echo.work = partial(ENDS[end], echo)
        async with door_to(raw, tmp_path / "first", era=echo.registered) as door, client_of(client, door) as asking:
            first, recorded = shown(await asking.call()), records(door)[-2:]
        assert not planned
        echo.work = None
        async with door_to(raw, tmp_path / "second", era=echo.registered) as door, client_of(client, door) as asking:
            await asking.call()
            echo.work = partial(ENDS[end], echo)
            assert shown(await asking.call()) == first
            assert records(door)[-2:] == recorded
            assert len(planned) == 1
            assert len(door.world.underway) == 0
            assert door.world.upstreams.in_flight == 0
            assert door.world.upstreams.strains()["notes"].under_way == 0
            echo.work = None
            assert (await asking.call()).status == 200


@pytest.mark.parametrize(
    ("client", "server", "end"),
    [
        ("modern", "modern", "in pieces"), ("legacy", "modern", "in pieces"), ("modern", "modern", "said not to fail"),
        ("legacy", "legacy", "said not to fail"), ("legacy", "legacy", "an object"), ("modern", "legacy", "an object"),
    ],
)  # fmt: skip
async def test_what_common_servers_say_is_read_where_it_comes(tmp_path, planned, client, server, end) -> None:
    """Nothing but the answer is made of it, and the connection stays."""
    echo = Server(server)
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=echo.registered) as door:
        async with client_of(client, door) as asking:
            await asking.call()
            echo.work = partial(ENDS[end], echo)
            for _ in range(3):
                assert (await asking.call()).json["result"]["content"] == [{"type": "text", "text": "t"}]
                await eventually(lambda: any(door.world.upstreams._egress._idle.values()))
        assert [one.full for one in planned] == [None] * 3
        assert raw.connections <= 2  # one more for the greeting


@contextlib.asynccontextmanager
async def held(door: Door, planned: list[Any]) -> AsyncIterator[tuple[Server, Legacy, asyncio.Event]]:
    """A call of a legacy client that went by a plan and waits at its legacy server until the event comes."""
    go_on = asyncio.Event()
    echo = Server("legacy")

    async def holding(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        await go_on.wait()
        return await echo.answer(asked, writer)

    async with raw_server(echo) as raw, serving(door, raw, era=Era.LEGACY), Legacy(door) as line:
        await line.say("tools/call", CALL)
        echo.work = holding
        await line.start("tools/call", CALL, 7)
        await eventually(lambda: len(raw.asked_for("tools/call")) == 2)
        assert len(planned) == 1
        yield echo, line, go_on


async def test_who_hangs_up_has_cancelled_nothing(tmp_path, planned) -> None:
    async with open_door(tmp_path) as door, held(door, planned) as (echo, line, go_on):
        line.writer.close()
        await eventually(lambda: planned[0].request.disconnected)
        go_on.set()
        await eventually(lambda: len(records(door)) == 4)
        assert records(door)[-1]["outcome"] == "ok"
        assert not echo.told[1:]


async def test_who_lost_the_stream_of_a_long_call_comes_back_for_its_answer(tmp_path, planned, monkeypatch) -> None:
    monkeypatch.setattr(reply, "BEAT", 0.02)
    async with open_door(tmp_path) as door, held(door, planned) as (_, line, go_on):
        first = (await line.reader.readuntil(b"\n\n")).decode()
        last = re.findall(r"id: (c-\S+)", first)[-1]
        line.writer.close()
        await eventually(lambda: planned[0].request.disconnected)
        go_on.set()
        async with Line(door) as other:
            got = await other.ask("GET", "/mcp", [*line.headers, ("Last-Event-ID", last)])
        assert [one["id"] for one in got.events] == [7]


async def test_what_its_client_cancels_ends_and_is_cancelled_at_its_server(tmp_path, planned) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    async with open_door(tmp_path) as door, held(door, planned) as (echo, line, _), Line(door) as other:
        assert (await other.ask("POST", "/mcp", line.headers, json.dumps(note).encode())).status == 202
        got = await line.answer()
        assert (got.status, got.events) == (200, [])
        assert records(door)[-1]["outcome"] == "cancelled"
        await eventually(lambda: [one for one in echo.told if one["method"] == "notifications/cancelled"])
        assert len(door.world.underway) == 0
        assert door.world.upstreams.strains()["notes"].under_way == 0


async def test_what_is_cancelled_by_way_of_another_process_ends_too(tmp_path, planned) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    async with two_doors(tmp_path) as (door, other), held(door, planned) as (_, line, _), Line(other) as elsewhere:
        assert (await elsewhere.ask("POST", "/mcp", line.headers, json.dumps(note).encode())).status == 202
        assert (await line.answer()).events == []
        assert records(door)[-1]["outcome"] == "cancelled"


async def test_t_84_it_is_taken_back_with_what_allowed_it(tmp_path, planned) -> None:
    async with open_door(tmp_path) as door, held(door, planned) as (echo, line, _):
        door.snapshots.turn(members={})
        door.world.underway.recall(door.snapshots.current)
        got = await line.answer()
        assert (got.status, got.json["id"]) == (403, 7)
        assert records(door)[-1]["outcome"] == "revoked"
        await eventually(lambda: [one for one in echo.told if one["method"] == "notifications/cancelled"])


async def test_a_session_that_ended_has_no_more_calls(tmp_path, planned, monkeypatch) -> None:
    """Here at once; at another process within a moment."""
    monkeypatch.setattr(sessions, "MOMENT", 0.0)
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        await line.say("tools/call", CALL)
        await line.say("tools/call", CALL)
        assert not planned  # what is remembered of the session is never fresh: each call asks
        monkeypatch.setattr(sessions, "MOMENT", 60.0)
        await line.say("tools/call", CALL)
        await line.say("tools/call", CALL)
        assert len(planned) == 1
        async with Line(door) as other:
            assert (await other.ask("DELETE", "/mcp", line.headers)).status == 204
        assert (await line.say("tools/call", CALL)).status == 404
        assert len(planned) == 1
        assert len(calls(raw)) == 4


async def test_a_log_level_that_is_set_later_reaches_the_server(tmp_path, planned) -> None:
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        for _ in range(2):
            await line.say("tools/call", CALL)
        await line.say("logging/setLevel", {"level": "error"})
        await line.say("tools/call", CALL)
        assert len(planned) == 1
        assert [one["params"] for one in echo.told if one["method"] == "logging/setLevel"] == [{"level": "error"}]


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_knows_its_session_no_more_is_greeted_anew(tmp_path, planned, client) -> None:
    echo = Server("legacy")
    async with (
        raw_server(echo) as raw,
        door_to(raw, tmp_path, era=Era.LEGACY) as door,
        client_of(client, door) as asking,
    ):
        await asking.call()
        echo.known.clear()
        got = await asking.call("again")
        assert json.loads(got.json["result"]["content"][0]["text"]) == {"text": "again"}
        assert len(planned) == 1
        assert echo.greeted == 2
        assert (await asking.call()).status == 200
        assert echo.greeted == 2
        assert [one["outcome"] for one in records(door) if "outcome" in one] == ["ok"] * 3


async def test_a_server_that_ends_each_session_at_once_is_asked_no_third_time(tmp_path, planned) -> None:
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        await line.say("tools/call", CALL)

        async def ending(asked: Asked, _: Any) -> bytes:
            return http(error(asked, -32000), "400 Bad Request")

        echo.work = ending
        assert (await line.say("tools/call", CALL)).json["error"]
        assert len(calls(raw)) == 3
        assert len(planned) == 1


async def test_a_session_that_has_to_be_made_known_is(tmp_path, planned, monkeypatch) -> None:
    monkeypatch.setattr(upstream_sessions, "TOUCH_EVERY", -1.0)
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        for _ in range(3):
            assert (await line.say("tools/call", CALL)).status == 200
        assert len(planned) == 2
        assert echo.greeted == 1


async def test_who_can_be_asked_goes_the_whole_way(tmp_path, planned) -> None:
    """Its server may ask in the middle of a call, on a stream that has to stand before."""
    echo = Server("legacy")
    async with (
        raw_server(echo) as raw,
        door_to(raw, tmp_path, era=Era.LEGACY) as door,
        Legacy(door, elicitation={}) as line,
    ):
        for _ in range(3):
            assert (await line.say("tools/call", CALL)).status == 200
        assert not planned


@pytest.mark.parametrize(
    "more", [{"_meta": {"progressToken": 1}}, {"task": {"ttl": 5}}, {"x": 1}], ids=["progress", "a task", "a stranger"]
)
async def test_who_says_more_in_a_session_has_no_plan(tmp_path, planned, more) -> None:
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        for _ in range(2):
            assert (await line.say("tools/call", CALL | more)).status == 200
        assert not planned


async def test_plans_of_a_session_are_few_and_the_oldest_goes(tmp_path, planned, monkeypatch) -> None:
    monkeypatch.setattr("gateway.portal.calls.plans.MOST", 1)
    echo = Server("legacy")
    async with raw_server(echo) as raw, door_to(raw, tmp_path, era=Era.LEGACY) as door, Legacy(door) as line:
        for name in ("notes_add", "notes_long", "notes_add", "notes_add"):
            assert (await line.say("tools/call", CALL | {"name": name})).status == 200
        assert [one.plan.target.name for one in planned] == ["notes_add"]
