"""Two processes behind one URL: what one began, the other can go on with."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

from gateway.rendezvous.shared import SharedRendezvous
from gateway.upstream import Answer
from registry.database import Database, sqlite_url
from registry.schema import migrate
from tests.fakes.door import NOTES, Legacy, Line, catalogue, eventually, open_door, upstream


@asynccontextmanager
async def two_doors(data):
    database = Database(sqlite_url(data))
    migrate(database)
    first, second = SharedRendezvous(database), SharedRendezvous(database)
    try:
        async with (
            open_door(data / "a", rendezvous=first) as one,
            open_door(data / "b", rendezvous=second, like=one, public_url=one.base) as other,
        ):
            yield one, other
    finally:
        database.close()


async def test_an_answer_that_arrives_elsewhere_finds_its_question(tmp_path) -> None:
    async def asks(server, ask, down) -> Answer:
        said = await down.request("elicitation/create", b'{"message":"Sure?"}')
        return Answer(result=b'{"resultType":"complete","content":[],"said":%s}' % said)

    async with two_doors(tmp_path) as (one, other), Legacy(one, elicitation={}) as client, Line(other) as elsewhere:
        one.upstreams.script = asks
        await client.start("tools/call", {"name": "clock_now"})
        await client.head()
        question = await client.event()
        reply = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}}
        assert (await elsewhere.ask("POST", "/mcp", client.headers, json.dumps(reply).encode())).status == 202
        assert (await client.event())["result"]["said"] == {"action": "decline"}


async def test_a_cancellation_that_arrives_elsewhere_cancels(tmp_path) -> None:
    async def waits(*_: object) -> Answer:
        await asyncio.Event().wait()
        raise AssertionError

    note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    async with two_doors(tmp_path) as (one, other), Legacy(one) as client, Line(other) as elsewhere:
        one.upstreams.script = waits
        await client.start("tools/call", {"name": "notes_add"})
        await eventually(lambda: one.upstreams.asks)
        assert (await elsewhere.ask("POST", "/mcp", client.headers, json.dumps(note).encode())).status == 202
        await eventually(lambda: one.records("call.outcome"), 20)
        assert one.records("call.outcome")[-1]["outcome"] == "cancelled"
        assert (await client.answer()).events == []


async def test_what_was_set_and_ended_here_holds_there(tmp_path) -> None:
    async with two_doors(tmp_path) as (one, other), Legacy(one) as client, Line(other) as elsewhere:
        await client.say("logging/setLevel", {"level": "error"})
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "notes_add"}}
        assert (await elsewhere.ask("POST", "/mcp", client.headers, json.dumps(call).encode())).status == 200
        assert other.upstreams.asks[-1].log_level == "error"
        await elsewhere.ask("DELETE", "/mcp", client.headers)
        assert (await elsewhere.ask("POST", "/mcp", client.headers, json.dumps(call).encode())).status == 404


async def test_a_task_of_2025_11_25_is_the_same_in_both(tmp_path) -> None:
    """Its state, what is kept for it, its line in the list, and that it was cancelled."""
    server = upstream("notes", capabilities={"tools": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}})
    times = {"createdAt": "a", "lastUpdatedAt": "b", "ttlMs": None}
    working = {"resultType": "task", "taskId": "up", "status": "working", **times}
    call = {"name": "notes_add", "task": {}}

    async def script(_server, ask, _down) -> Answer:
        at_once = ask.method == "tools/call" and ask.params.get("arguments") == b"{}"
        return Answer(result=b'{"resultType":"complete","content":[]}' if at_once else json.dumps(working).encode())

    async with two_doors(tmp_path) as (one, other), Legacy(one) as client, Line(other) as elsewhere:
        for door in (one, other):
            door.snapshots.turn(catalogue=catalogue(NOTES, [server, upstream("clock")]))
            door.upstreams.script = script
        kept = (await client.say("tools/call", {**call, "arguments": {}})).json["result"]["task"]["taskId"]
        ident = (await client.say("tools/call", call)).json["result"]["task"]["taskId"]

        async def say(method: str, **params: str) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            return (await elsewhere.ask("POST", "/mcp", client.headers, json.dumps(body).encode())).json["result"]

        assert (await say("tasks/result", taskId=kept))["content"] == []
        assert (await say("tasks/cancel", taskId=ident))["status"] == "cancelled"
        listed = (await client.say("tasks/list")).json["result"]["tasks"]
        assert [(task["taskId"], task["status"]) for task in listed] == [(ident, "cancelled"), (kept, "completed")]
