"""A modern server asks within its answer, and a legacy client is asked on the stream of its call."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.upstream import Answer
from tests.fakes.door import Legacy, Line, open_door

FORM = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
CALL = {"name": "notes_delete", "arguments": {"id": 1}}


def asks(*requests: tuple[str, dict[str, Any]], state: str | None = "theirs") -> Answer:
    questions = {f"q{number}": {"method": method, "params": params} for number, (method, params) in enumerate(requests)}
    result: dict[str, Any] = {"resultType": "input_required", "inputRequests": questions}
    return Answer(result=json.dumps(result if state is None else {**result, "requestState": state}).encode())


def answers(ask: Any) -> Answer:
    said = ask.params.get("inputResponses", b"{}")
    return Answer(result=b'{"resultType":"complete","content":[],"heard":%s}' % said)


def in_turn(*rounds: Answer):
    left = list(rounds)

    async def script(server, ask, down) -> Answer:
        return left.pop(0) if left else answers(ask)

    return script


async def reply(door, client: Legacy, question: Any, **said: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": question["id"], **said}).encode()
    async with Line(door) as line:
        assert (await line.ask("POST", "/mcp", client.headers, body)).status == 202


async def test_each_question_is_put_and_the_answers_go_back_with_the_servers_state(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, elicitation={}, sampling={}, roots={}) as client:
        door.upstreams.script = in_turn(asks(("elicitation/create", FORM), ("roots/list", {})))
        await client.start("tools/call", CALL)
        await client.head()
        question = await client.event()
        assert (question["method"], question["params"]["message"]) == ("elicitation/create", "[Notes] Sure?")
        await reply(door, client, question, result={"action": "accept", "content": {}})
        question = await client.event()
        assert question["method"] == "roots/list"
        await reply(door, client, question, result={"roots": []})
        result = (await client.event())["result"]
        assert result["heard"] == {"q0": {"action": "accept", "content": {}}, "q1": {"roots": []}}
        assert "resultType" not in result
        first, second = door.upstreams.asks
        assert "requestState" not in first.params
        assert second.params["requestState"] == b'"theirs"'
        assert second.params["arguments"] == first.params["arguments"]


async def test_each_round_is_a_call_of_its_own_in_the_record(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client:
        door.upstreams.script = in_turn(asks(("elicitation/create", FORM)))
        await client.start("tools/call", CALL)
        await client.head()
        await reply(door, client, await client.event(), result={"action": "decline"})
        await client.event()
        assert len(door.records("call.intent")) == len(door.records("call.outcome")) == 2


async def test_what_was_taken_away_between_two_rounds_is_refused_in_the_second(tmp_path) -> None:
    from tests.gateway.portal.legacy.test_trails import without

    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client:
        door.upstreams.script = in_turn(asks(("elicitation/create", FORM)))
        await client.start("tools/call", CALL)
        await client.head()
        question = await client.event()
        door.snapshots.turn(policy=without("notes.delete"))
        await reply(door, client, question, result={"action": "accept"})
        assert (await client.event())["error"]["code"] == -32602
        assert len(door.upstreams.asks) == 1


async def test_who_was_cut_off_while_being_asked_calls_no_more(tmp_path) -> None:
    from authz.tokens.cutoffs import Cut, CutOffs

    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client:
        door.upstreams.script = in_turn(asks(("elicitation/create", FORM)))
        await client.start("tools/call", CALL)
        await client.head()
        question = await client.event()
        ident = question["id"]
        async with Line(door) as line:
            door.snapshots.turn(cutoffs=CutOffs({(Cut.PERSON, "editor"): 1e12}))
            body = json.dumps({"jsonrpc": "2.0", "id": ident, "result": {"action": "accept"}}).encode()
            assert (await line.ask("POST", "/mcp", client.headers, body)).status == 401
        assert len(door.upstreams.asks) == 1


async def test_a_server_that_only_wants_to_be_called_again_is(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script = in_turn(asks(state="later"))
        got = await client.say("tools/call", CALL)
        assert got.json["result"]["heard"] == {}
        assert door.upstreams.asks[1].params["requestState"] == b'"later"'


async def test_a_server_that_never_stops_asking_is_stopped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.portal.legacy.turns.PAUSE", 0)
    async with open_door(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script = in_turn(*[asks(state="s")] * 50)
        got = await client.say("tools/call", CALL)
        assert "10 rounds" in got.json["error"]["message"]
        assert len(door.upstreams.asks) == 11


@pytest.mark.parametrize(
    ("version", "declared", "request_", "declares"),
    [
        ("2025-11-25", {"elicitation": {"url": {}}}, ("elicitation/create", {"mode": "url", "url": "https://x"}), True),
        ("2025-11-25", {"elicitation": {}}, ("elicitation/create", {"mode": "url", "url": "https://x"}), False),
        ("2025-06-18", {"elicitation": {"url": {}}}, ("elicitation/create", {"mode": "url"}), False),
        ("2025-03-26", {"elicitation": {}}, ("elicitation/create", FORM), False),
        ("2025-11-25", {}, ("sampling/createMessage", {"messages": []}), False),
        ("2025-03-26", {"sampling": {}}, ("sampling/createMessage", {"messages": []}), True),
        ("2025-11-25", {"sampling": {}}, ("tasks/get", {}), False),
    ],
)
async def test_a_client_is_asked_only_what_it_declared_in_a_revision_that_has_it(
    tmp_path, version: str, declared: Any, request_: Any, declares: bool
) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=version, **declared) as client:
        door.upstreams.script = in_turn(asks(request_))
        await client.start("tools/call", CALL)
        head = await client.head()
        if not declares:
            body = json.loads(await client.reader.readexactly(int(head.headers["content-length"])))
            assert body["result"]["isError"] is True
            return
        question = await client.event()
        assert question["method"] == request_[0]
        assert ("elicitationId" in question["params"]) == (request_[1].get("mode") == "url")


async def test_a_dialog_that_brings_an_error_counts_as_cancelled(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, elicitation={}) as client:
        door.upstreams.script = in_turn(asks(("elicitation/create", FORM)))
        await client.start("tools/call", CALL)
        await client.head()
        await reply(door, client, await client.event(), error={"code": -1, "message": "no"})
        assert (await client.event())["result"]["heard"] == {"q0": {"action": "cancel"}}


async def test_a_model_that_is_not_lent_ends_the_call(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door, sampling={}) as client:
        door.upstreams.script = in_turn(asks(("sampling/createMessage", {"messages": []})))
        await client.start("tools/call", CALL)
        await client.head()
        await reply(door, client, await client.event(), error={"code": -1, "message": "User rejected sampling request"})
        assert "User rejected" in (await client.event())["error"]["message"]
        assert len(door.upstreams.asks) == 1


async def test_capabilities_told_to_a_modern_server_are_what_the_client_can_really_do(tmp_path) -> None:
    told = {"elicitation": {"url": {}}, "sampling": {"tools": {}}, "roots": {"listChanged": True}, "odd": {}}
    async with open_door(tmp_path) as door, Legacy(door, **told) as client:
        await client.say("tools/call", CALL)
        assert json.loads(door.upstreams.asks[0].capabilities) == {
            "elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {},
        }  # fmt: skip
