"""Two processes behind one URL: what one began, the other can go on with."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

from sqlmodel import SQLModel

from gateway.rendezvous.shared import SharedRendezvous
from gateway.upstream import Answer
from registry.database import Database, sqlite_url
from tests.fakes.door import Legacy, Line, eventually, open_door


@asynccontextmanager
async def two_doors(data):
    database = Database(sqlite_url(data))
    SQLModel.metadata.create_all(database.engine)
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
