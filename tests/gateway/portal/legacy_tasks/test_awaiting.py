"""Results of tasks of 2025-11-25, waited for, and what is asked meanwhile."""

from __future__ import annotations

import json
from typing import Any

from authz.policy.policy import Policy
from gateway.portal.legacy.tasks import awaiting, words
from tests.fakes.door import RULES, Legacy, Line, eventually
from tests.gateway.portal.legacy_tasks.setup import (
    FORM,
    RELATED,
    RESULT,
    STATE,
    begin,
    door_with_tasks,
)


async def test_a_tool_that_failed_has_failed_and_its_result_waits_for_who_asks(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "completed", "result": {**RESULT, "isError": True}}
        told = (await client.say("tasks/get", {"taskId": ident})).json["result"]
        assert told["status"] == "failed"
        assert "result" not in told
        result = (await client.say("tasks/result", {"taskId": ident})).json["result"]
        assert result == {
            "content": RESULT["content"], "isError": True, "_meta": {RELATED: {"taskId": ident}},
        }  # fmt: skip


async def test_a_result_is_waited_for_and_each_change_told_meanwhile(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        on = {**STATE, "statusMessage": "on it"}
        door.upstreams.script.coming = [
            dict(STATE),
            dict(STATE),
            on,
            {**STATE, "status": "completed", "result": RESULT},
        ]
        got = await client.say("tasks/result", {"taskId": ident}, ident=7)
        *news, last = got.events
        assert [one["method"] for one in news] == ["notifications/tasks/status"] * 2
        assert [one["params"]["status"] for one in news] == ["working", "completed"]
        assert news[0]["params"]["taskId"] == ident
        assert news[0]["params"]["statusMessage"] == "on it"
        assert last == {
            "jsonrpc": "2.0", "id": 7,
            "result": {"content": RESULT["content"], "_meta": {RELATED: {"taskId": ident}}},
        }  # fmt: skip


async def test_what_the_protocol_says_went_wrong_is_the_answer(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "failed", "error": {"code": -32050, "message": "broke"}}
        assert (await client.say("tasks/result", {"taskId": ident})).json["error"] == {
            "code": -32050, "message": "broke",
        }  # fmt: skip


async def test_a_result_that_does_not_come_in_the_time_of_a_call_may_be_asked_for_again(tmp_path) -> None:
    async with door_with_tasks(tmp_path, call_limit=1.5, call_deadline=1.2) as door, Legacy(door) as client:
        ident = await begin(client)
        error = (await client.say("tasks/result", {"taskId": ident})).json["error"]
        assert error == {"code": -32603, "message": awaiting.NOT_YET}
        door.upstreams.script.state |= {"status": "completed", "result": RESULT}
        assert "result" in (await client.say("tasks/result", {"taskId": ident})).json


async def answered(door, client: Legacy, question: Any, **said: Any) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": question["id"], **said}).encode()
    async with Line(door) as line:
        assert (await line.ask("POST", "/mcp", client.headers, body)).status == 202


async def test_what_a_task_asks_is_asked_where_its_result_is_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "PATIENT", 0.05)
    async with door_with_tasks(tmp_path) as door, Legacy(door, elicitation={}) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": FORM}}
        assert (await client.say("tasks/get", {"taskId": ident})).json["result"]["status"] == "input_required"
        await client.start("tasks/result", {"taskId": ident})
        await client.head()
        question = await client.event()
        assert question["method"] == "elicitation/create"
        assert question["params"]["message"] == "[Notes] Sure?"
        assert question["params"]["_meta"] == {RELATED: {"taskId": ident}}
        await answered(door, client, question, result={"action": "accept", "content": {"n": 1}})
        assert (await client.event())["params"]["status"] == "completed"
        assert (await client.event())["result"]["content"] == RESULT["content"]
        assert door.upstreams.script.heard == [{"k": {"action": "accept", "content": {"n": 1}}}]


async def test_a_question_that_is_answered_elsewhere_is_waited_for_no_longer(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "PATIENT", 0.05)
    async with door_with_tasks(tmp_path) as door, Legacy(door, elicitation={}) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": FORM}}
        await client.start("tasks/result", {"taskId": ident})
        await client.head()
        assert (await client.event())["method"] == "elicitation/create"
        door.upstreams.script.state = {**STATE, "status": "completed", "result": RESULT}
        assert (await client.event())["method"] == words.STATUS
        assert (await client.event())["result"]["content"] == RESULT["content"]
        assert door.upstreams.script.heard == []


async def test_a_client_that_cannot_be_asked_has_said_no(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": FORM}}
        assert "result" in (await client.say("tasks/result", {"taskId": ident})).events[-1]
        assert door.upstreams.script.heard == [{"k": {"action": "cancel"}}]


async def test_a_task_that_asks_for_a_secret_is_said_to_wait_in_vain(tmp_path) -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    asked = {"method": "elicitation/create", "params": {"message": "Log in", "requestedSchema": schema}}
    async with door_with_tasks(tmp_path) as door, Legacy(door, elicitation={}) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": asked}}
        error = (await client.say("tasks/result", {"taskId": ident})).json["error"]
        assert error["code"] == 4030
        assert "password" in error["message"]


async def test_a_result_is_not_given_when_the_right_to_it_ends_while_it_is_waited_for(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.coming = [dict(STATE), {**STATE, "statusMessage": "soon"}]
        await client.start("tasks/result", {"taskId": ident})
        await client.head()
        assert (await client.event())["params"]["statusMessage"] == "soon"
        door.snapshots.turn(policy=Policy([rule for rule in RULES if rule.id != "r1"], epoch=2))
        door.upstreams.script.state = {**STATE, "status": "completed", "result": RESULT}
        assert (await client.event())["error"]["message"] == f"Unknown task: {ident[:128]}"


async def test_a_wait_ends_with_the_person(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        await client.start("tasks/result", {"taskId": ident})
        await eventually(lambda: len(door.upstreams.asks) > 2)
        door.snapshots.turn(members={})
        door.upstreams.script.state = {**STATE, "status": "completed", "result": RESULT}
        answer = (await client.answer()).json
        assert "taken back" in answer["error"]["message"]
        asks = len(door.upstreams.asks)
        assert (await client.say("tasks/get", {"taskId": ident})).status == 401
        assert len(door.upstreams.asks) == asks


async def test_a_wait_that_its_client_gives_up_ends_and_leaves_the_task(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(awaiting, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Line(door) as other:
        ident = await begin(client)
        await client.start("tasks/result", {"taskId": ident}, ident=9)
        await eventually(lambda: len(door.upstreams.asks) > 2)
        note = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
        assert (await other.ask("POST", "/mcp", client.headers, json.dumps(note).encode())).status == 202
        assert (await client.answer()).events == []
        assert not [one for one in door.upstreams.asks if one.method == "tasks/cancel"]
        assert (await client.say("tasks/get", {"taskId": ident})).json["result"]["status"] == "working"
