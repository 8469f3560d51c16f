"""T-54: the id of a session, a stream or a call gives nobody a right to it. For cursors: test_listing."""

from __future__ import annotations

import asyncio
import json

import pytest

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.upstream import Answer
from tests.fakes.door import RULES, Legacy, Line, eventually, modern, open_door

ALL = {"toolsListChanged": True, "promptsListChanged": True, "resourcesListChanged": True}
SESSION = "Mcp-Session-Id"


def denying(name: str) -> Policy:
    return Policy([*RULES, Rule(id="r9", subject="user:editor", object=name, action="*", effect="deny")], epoch=2)


def with_session(client: Legacy, ident: str) -> list[tuple[str, str]]:
    return [each for each in client.headers if each[0] != SESSION] + [(SESSION, ident)]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_t_54_a_session_of_another_is_answered_like_one_that_never_was(tmp_path, method: str) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as mine, Legacy(door, "reader") as theirs:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}' if method == "POST" else b""
        held = dict(mine.headers)[SESSION]
        answers = [
            await theirs.ask(method, "/mcp", with_session(theirs, ident), body)
            for ident in (held, "never-was", held[:-4], held.swapcase())
        ]
        assert {(got.status, got.body) for got in answers} == {(404, answers[0].body)}
        assert (await mine.say("tools/list")).status == 200, "and nothing happened to it"


async def test_t_54_a_session_is_of_its_url_too(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as one, Legacy(door, path="/servers/notes/mcp") as other:
        headers = with_session(other, dict(one.headers)[SESSION])
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
        assert (await other.ask("POST", "/servers/notes/mcp", headers, body)).status == 404


async def test_t_54_who_says_anothers_request_id_cancels_nothing(tmp_path) -> None:
    gate = asyncio.Event()

    async def waits(*_: object) -> Answer:
        await gate.wait()
        return Answer(result=b'{"resultType":"complete","content":[],"mine":true}')

    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
    async with open_door(tmp_path) as door, Legacy(door) as mine, Legacy(door, "reader") as theirs:
        door.upstreams.script = waits
        await mine.start("tools/call", {"name": "notes_add", "arguments": {}}, ident=7)
        await eventually(lambda: door.upstreams.asks)
        assert (await theirs.post(cancel)).status == 202
        async with Legacy(door) as same_person:
            assert (await same_person.post(cancel)).status == 202
        gate.set()
        assert b'"mine":true' in (await mine.answer()).body


async def test_t_54_a_stream_that_bears_anothers_id_carries_nothing_of_theirs(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as mine, Line(door) as theirs:
        for line, who in ((mine, "editor"), (theirs, "nobody")):
            wish = modern(door.token(who), "subscriptions/listen", {"notifications": ALL}, ident="the-same")
            await line.send("POST", "/mcp", *wish)
            await line.head()
            await line.event()
        door.snapshots.turn(policy=denying("clock.now"))
        assert (await mine.event())["method"] == "notifications/tools/list_changed"
        await asyncio.sleep(0)
        assert not theirs.reader._buffer, "nothing came there"  # type: ignore[attr-defined]
        theirs.writer.close()
        door.snapshots.turn(policy=denying("notes.add"))
        assert (await mine.event())["method"] == "notifications/tools/list_changed", "the other's end is not mine"


async def test_t_54_an_answer_to_anothers_question_is_taken_from_nobody_else(tmp_path) -> None:
    async def asks(server, given, down) -> Answer:
        said = await down.request("elicitation/create", b'{"message":"Sure?","requestedSchema":{"type":"object"}}')
        return Answer(result=b'{"resultType":"complete","content":[],"said":%s}' % said)

    async with (
        open_door(tmp_path) as door,
        Legacy(door, elicitation={}) as mine,
        Legacy(door, "reader", elicitation={}) as theirs,
    ):
        door.upstreams.script = asks
        await mine.start("tools/call", {"name": "clock_now", "arguments": {}})
        await mine.head()
        question = await mine.event()

        def answer(who: str) -> dict[str, object]:
            content = {"action": "accept", "content": {"who": who}}
            return {"jsonrpc": "2.0", "id": question["id"], "result": content}

        await theirs.post(answer("theirs"))
        async with Line(door) as second:
            got = await second.ask("POST", "/mcp", mine.headers, json.dumps(answer("mine")).encode())
            assert got.status == 202
        said = (await mine.event())["result"]["said"]
        assert said["content"] == {"who": "mine"}
