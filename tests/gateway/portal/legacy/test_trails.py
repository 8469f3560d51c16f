"""Streams of legacy clients that were lost, and what comes after the last event that was seen."""

from __future__ import annotations

import asyncio
import json

import pytest

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.portal.legacy import trails
from gateway.upstream import Answer
from tests.fakes.door import RULES, Legacy, Line, open_door
from tests.gateway.portal.test_two_processes import two_doors

DONE = Answer(result=b'{"resultType":"complete","content":[]}')
CALL = {"name": "notes_add", "_meta": {"progressToken": 7}}


class Work:
    """A call that says something, waits for `gate`, and says more."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.done = asyncio.Event()

    async def __call__(self, server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        await self.gate.wait()
        await down.notify("notifications/progress", b'{"progress":2}')
        self.done.set()
        return DONE


async def lost(door, client: Legacy, work: Work) -> str:
    """Calls, reads the first event, and loses the connection; gives the id of that event."""
    door.upstreams.script = work
    line = Line(door)
    async with line:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": CALL}).encode()
        await line.send("POST", "/mcp", client.headers, body)
        assert (await line.head()).headers["content-type"] == "text/event-stream"
        assert (await line.event())["params"]["progress"] == 1
    return line.last_id


async def come_back(line: Line, client: Legacy, last: str):
    return await line.ask("GET", "/mcp", [*client.headers, ("Last-Event-ID", last)])


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26"])
async def test_what_was_said_after_the_stream_was_lost_is_said_again(tmp_path, version: str) -> None:
    work = Work()
    async with open_door(tmp_path) as door, Legacy(door, version=version) as client, Line(door) as line:
        last = await lost(door, client, work)
        work.gate.set()
        await work.done.wait()
        got = await come_back(line, client, last)
        assert [each.get("params", {}).get("progress") for each in got.events] == [2, None]
        assert got.events[-1] == {"jsonrpc": "2.0", "id": 1, "result": {"content": []}}
        assert (await come_back(line, client, last)).events == got.events
        assert len(door.upstreams.asks) == 1


async def test_who_comes_back_early_hears_the_rest_live(tmp_path) -> None:
    work = Work()
    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as line:
        last = await lost(door, client, work)
        await line.send("GET", "/mcp", [*client.headers, ("Last-Event-ID", last)])
        await line.head()
        work.gate.set()
        assert (await line.event())["params"]["progress"] == 2
        assert (await line.event())["result"] == {"content": []}
        assert await line.chunk() == b""


async def test_an_id_is_there_before_anything_is_said(tmp_path) -> None:
    work = Work()
    async with open_door(tmp_path) as door, Legacy(door) as client:
        work.gate.set()
        door.upstreams.script = work
        frames = (await client.say("tools/call", CALL)).body.decode().split("\n\n")
        assert frames[0].split("\n")[0].startswith("id: c-")
        assert "retry: 1000" in frames[0]
        assert frames[0].endswith("data: ")
        ids = [frame.split("\n")[0] for frame in frames if frame]
        assert len(set(ids)) == len(ids) == 4


async def test_a_client_from_before_is_not_confused_by_an_event_without_data(tmp_path) -> None:
    work = Work()
    work.gate.set()
    async with open_door(tmp_path) as door, Legacy(door, version="2025-06-18") as client:
        door.upstreams.script = work
        body = (await client.say("tools/call", CALL)).body.decode()
        assert "data: \n" not in body
        assert "retry" not in body


async def test_a_stream_that_is_not_known_or_not_ones_own_is_not_resumed(tmp_path) -> None:
    work = Work()
    async with open_door(tmp_path) as door, Legacy(door) as client, Legacy(door) as other, Line(door) as line:
        last = await lost(door, client, work)
        work.gate.set()
        assert (await come_back(line, other, last)).status == 400
        for wrong in ("c-0000000000000000-0", "c-", "c-" + "x" * 5000, last + "0" * 20):
            assert (await come_back(line, client, wrong)).status == 400


async def test_an_answer_that_came_as_json_has_no_id(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        got = await client.say("tools/call", {"name": "notes_add"})
        assert got.headers["content-type"] == "application/json"
        assert ids(got) == []


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trails, "KEPT_MOST", 2_000)

    async def large(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        return Answer(result=b'{"resultType":"complete","content":[],"x":"%s"}' % (b"a" * 1500))

    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as line:
        door.upstreams.script = large
        first = ids(await client.say("tools/call", CALL))[0]
        second = ids(await client.say("tools/call", CALL, ident=2))[0]
        assert (await come_back(line, client, first)).status == 400
        assert len((await come_back(line, client, second)).events) == 2


async def test_of_one_stream_the_answer_is_kept_longest(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trails, "TRAIL_MOST", 300)

    async def chatty(server, ask, down) -> Answer:
        for number in range(50):
            await down.notify("notifications/progress", b'{"progress":%d}' % number)
        return DONE

    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as line:
        door.upstreams.script = chatty
        first = ids(await client.say("tools/call", CALL))[0]
        events = (await come_back(line, client, first)).events
        assert 1 < len(events) < 10
        assert "result" in events[-1]


def ids(got) -> list[str]:
    return [line[4:] for line in got.body.decode().split("\n") if line.startswith("id: ")]


async def test_a_stream_is_resumed_by_way_of_another_process(tmp_path) -> None:
    work = Work()
    async with two_doors(tmp_path) as (one, other), Legacy(one) as client, Line(other) as line:
        last = await lost(one, client, work)
        await eventually_back(line, client, last)
        work.gate.set()
        assert (await line.event())["params"]["progress"] == 2
        assert (await line.event())["result"] == {"content": []}
        assert await line.chunk() == b""
        assert other.upstreams.asks == []


async def eventually_back(line: Line, client: Legacy, last: str) -> None:
    """The other process finds the stream as soon as the first has seen that its client is gone."""
    deadline = asyncio.get_running_loop().time() + 10
    while True:
        await line.send("GET", "/mcp", [*client.headers, ("Last-Event-ID", last)])
        head = await line.head()
        if head.status == 200:
            return
        assert asyncio.get_running_loop().time() < deadline
        await line.reader.readexactly(int(head.headers["content-length"]))
        await asyncio.sleep(0.05)


async def test_what_lies_between_processes_is_sealed(tmp_path) -> None:
    async def secret(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        await asyncio.sleep(0.2)
        return Answer(result=b'{"resultType":"complete","content":[],"x":"CANARY-IN-AN-ANSWER"}')

    async with two_doors(tmp_path) as (one, other), Legacy(one) as client, Line(other) as line:
        last = await lost(one, client, secret)
        await eventually_back(line, client, last)
        assert (await line.event())["result"]["x"] == "CANARY-IN-AN-ANSWER"
        files = [file for file in tmp_path.rglob("*") if file.is_file()]
        assert not any(b"CANARY-IN-AN-ANSWER" in file.read_bytes() for file in files)


# The stream for what belongs to no request


def without(name: str) -> Policy:
    return Policy([*RULES, Rule(id="r9", subject="user:editor", object=name, action="*", effect="deny")], epoch=2)


async def following(line: Line, client: Legacy, last: str = "") -> None:
    more = [("Last-Event-ID", last)] if last else []
    await line.send("GET", "/mcp", [*client.headers, *more])
    assert (await line.head()).status == 200


async def test_a_list_that_changed_while_nobody_listened_is_told_afterwards(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        async with Line(door) as line:
            await following(line, client)
            while not line.last_id:
                for text in (await line.chunk()).decode().split("\n"):
                    line.last_id = text[4:] if text.startswith("id: ") else line.last_id
        door.snapshots.turn(policy=without("clock.now"))
        async with Line(door) as again:
            await following(again, client, line.last_id)
            assert (await again.event())["method"] == "notifications/tools/list_changed"
            door.snapshots.turn(policy=without("notes.ask"))
            methods = {(await again.event())["method"] for _ in range(2)}
            assert methods == {"notifications/tools/list_changed", "notifications/prompts/list_changed"}


async def test_followed_resources_count_as_changed_for_who_comes_back(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client, Line(door) as line:
        assert (await client.say("resources/subscribe", {"uri": "note://one"})).json["result"] == {}
        await following(line, client, "g-from-another-time")
        methods = [(await line.event())["method"] for _ in range(4)]
        assert methods[3] == "notifications/resources/updated"


async def test_an_id_of_another_kind_is_harmless(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        for last in ("x", "g", "g------", "-", "\xff" * 40):
            async with Line(door) as line:
                await following(line, client, last)
                assert (await line.event())["method"] == "notifications/tools/list_changed"


async def test_the_official_client_gets_its_answer_although_the_stream_breaks(tmp_path) -> None:
    """It comes back by itself: that is what the event without data at the beginning is for."""
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    async def breaks(server, ask, down) -> Answer:
        await down.notify("notifications/progress", b'{"progress":1}')
        await asyncio.sleep(0.1)
        down._exchange.arrival.request.line.transport.abort()
        await asyncio.sleep(0.1)
        return Answer(result=b'{"resultType":"complete","content":[{"type":"text","text":"in the end"}]}')

    async def heard(*_: object) -> None: ...

    async with open_door(tmp_path) as door:
        door.upstreams.script = breaks
        headers = {"Authorization": f"Bearer {door.token()}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20, trust_env=False) as http,
            Client(streamable_http_client(door.base + "/mcp", http_client=http), mode="legacy") as client,
        ):
            got = await client.call_tool("notes_add", {}, progress_callback=heard)
        assert got.content[0].text == "in the end"
        assert len(door.upstreams.asks) == 1
