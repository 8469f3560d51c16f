"""Calls that go on as tasks (SEP-2663), between a modern client and a server that runs them."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.portal.listening import task_news
from gateway.upstream import Answer
from tests.fakes.door import NOTES, RULES, Line, ask, catalogue, eventually, modern, open_door, upstream

EXTENSION = "io.modelcontextprotocol/tasks"
KNOWS = {"_meta": {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "extensions": {EXTENSION: {}}}}}
CALL = {"name": "notes_add", "arguments": {"text": "hi"}, **KNOWS}
BEGUN = {
    "resultType": "task", "taskId": "up-1", "status": "working", "createdAt": "a", "lastUpdatedAt": "b", "ttlMs": 60000,
}  # fmt: skip
FORM = {"method": "elicitation/create", "params": {"message": "Sure?", "requestedSchema": {"type": "object"}}}


class Server:
    """Begins a task with every call and tells of it what `state` says."""

    def __init__(self) -> None:
        self.begun: dict[str, Any] = dict(BEGUN)
        self.state: dict[str, Any] = {**BEGUN, "resultType": "complete"}

    async def __call__(self, server, asked, down) -> Answer:
        if asked.method == "tools/call":
            return Answer(result=json.dumps(self.begun).encode())
        if asked.method == "tasks/get":
            return Answer(result=json.dumps(self.state).encode())
        return Answer(result=b'{"resultType":"complete"}')


@asynccontextmanager
async def door_with_tasks(tmp_path, **offered):
    capabilities = {"tools": {}, "extensions": {EXTENSION: {}}} | offered
    async with open_door(tmp_path) as door:
        servers = [upstream("notes", capabilities=capabilities), upstream("clock")]
        door.snapshots.turn(catalogue=catalogue(NOTES, servers))
        door.upstreams.script = Server()
        yield door


async def begin(door, **more: Any) -> str:
    begun = (await ask(door, "tools/call", CALL, **more)).json["result"]
    assert begun["resultType"] == "task"
    ident: str = begun["taskId"]
    return ident


def about(ident: str, **more: Any) -> dict[str, Any]:
    return {"taskId": ident, **KNOWS, **more}


async def test_a_task_is_known_by_an_id_of_ours_that_leads_to_the_servers(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        first, second = await begin(door), await begin(door)
        assert "up-1" not in first
        assert first != second
        told = (await ask(door, "tasks/get", about(first))).json["result"]
        assert told == {**BEGUN, "resultType": "complete", "taskId": first}
        asked = door.upstreams.asks[-1]
        assert (asked.method, asked.name, asked.params["taskId"]) == ("tasks/get", "up-1", b'"up-1"')
        assert EXTENSION.encode() in asked.capabilities


async def test_each_look_at_a_task_is_on_record_like_a_call(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            assert "result" in (await ask(door, method, about(ident, inputResponses={}))).json
            intent = door.records("call.intent")[-1]
            assert (intent["method"], intent["object"]) == (method, "notes.add")
        digests = {json.dumps(record["arguments"]) for record in door.records("call.intent")}
        assert len(digests) == 1  # the record leads from a look to the call that it is about


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_a_client_that_does_not_say_that_it_knows_tasks_is_told_to(tmp_path, method: str) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        got = await ask(door, method, {"taskId": ident, "inputResponses": {}})
        assert got.status == 400
        assert got.json["error"]["code"] == -32021
        assert got.json["error"]["data"] == {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}


async def test_where_no_server_runs_tasks_the_methods_are_unknown_and_nothing_of_them_is_said(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        assert (await ask(door, "tasks/get", about("x"))).json["error"]["code"] == -32601
        found = (await ask(door, "server/discover")).json["result"]["capabilities"]
        assert EXTENSION not in found.get("extensions", {})
        await ask(door, "tools/call", CALL)
        assert EXTENSION.encode() not in door.upstreams.asks[-1].capabilities


async def test_where_a_server_runs_tasks_it_is_said(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        found = (await ask(door, "server/discover")).json["result"]["capabilities"]
        assert found["extensions"] == {EXTENSION: {}}


async def test_an_extension_whose_methods_nobody_can_call_here_is_not_announced(tmp_path) -> None:
    said = {"io.modelcontextprotocol/skills": {}, "io.modelcontextprotocol/ui": {}}
    async with door_with_tasks(tmp_path, extensions=said) as door:
        found = (await ask(door, "server/discover")).json["result"]["capabilities"]
        assert found["extensions"] == {"io.modelcontextprotocol/ui": {}}
        assert (await ask(door, "skills/list")).json["error"]["code"] == -32601


async def test_only_a_server_that_runs_tasks_hears_that_the_client_knows_them(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        await ask(door, "tools/call", {**CALL, "name": "clock_now"})
        assert EXTENSION.encode() not in door.upstreams.asks[-1].capabilities


async def test_a_task_for_a_client_that_knows_none_is_an_error(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        got = await ask(door, "tools/call", {"name": "notes_add"})
        assert "up-1" not in got.body.decode()
        assert (got.status, got.json["error"]["code"]) == (502, -32603)
        [outcome] = door.records("call.outcome")
        assert (outcome["outcome"], outcome["trouble"]) == ("broken", "protocol")


async def test_what_is_not_allowed_any_more_has_no_state_to_tell(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        door.snapshots.turn(policy=Policy([rule for rule in RULES if rule.id != "r1"], epoch=2))
        before = len(door.upstreams.asks)
        got = await ask(door, "tasks/get", about(ident))
        assert got.json["error"]["message"] == f"Unknown task: {ident[:128]}"
        assert len(door.upstreams.asks) == before


async def test_what_may_be_seen_and_not_called_any_more_says_why(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        seeing = Rule(id="s", subject="user:editor", object="notes.add", action="list")
        rules = [rule for rule in RULES if rule.id != "r1"]
        door.snapshots.turn(policy=Policy([*rules, seeing], epoch=2))
        error = (await ask(door, "tasks/get", about(ident))).json["error"]
        assert error["code"] == 4030
        assert error["data"]["reason"]


async def test_what_a_task_asks_is_put_under_its_servers_name(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": FORM}, "requestState": "x"}
        told = (await ask(door, "tasks/get", about(ident))).json["result"]
        assert told["inputRequests"]["k"]["params"]["message"] == "[Notes] Sure?"
        assert "requestState" not in told


async def test_a_task_that_asks_for_a_secret_is_said_to_wait_in_vain(tmp_path) -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string"}}}
    asked = {"method": "elicitation/create", "params": {"message": "Log in", "requestedSchema": schema}}
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        door.upstreams.script.state |= {"status": "input_required", "inputRequests": {"k": asked}}
        error = (await ask(door, "tasks/get", about(ident))).json["error"]
        assert error["code"] == 4030
        assert "password" in error["message"]


async def test_a_state_that_says_it_begins_a_task_is_a_state(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        door.upstreams.script.state["resultType"] = "task"
        told = (await ask(door, "tasks/get", about(ident))).json["result"]
        assert (told["resultType"], told["taskId"]) == ("complete", ident)


async def test_answers_go_up_as_they_were_given(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        said = {"k": {"action": "accept", "content": {"n": 1}}}
        got = await ask(door, "tasks/update", about(ident, inputResponses=said))
        assert got.json["result"] == {"resultType": "complete"}
        assert json.loads(door.upstreams.asks[-1].params["inputResponses"]) == said


async def test_the_header_must_name_the_task(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Line(door) as line:
        ident = await begin(door)
        headers, body = modern(door.token(), "tasks/get", about(ident))
        wrong = [(name, "another" if name == "Mcp-Name" else value) for name, value in headers]
        assert (await line.ask("POST", "/mcp", wrong, body)).json["error"]["code"] == -32020


async def test_a_look_that_waits_ends_when_its_server_runs_no_tasks_any_more(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        looking = asyncio.Event()

        async def waits(*_: object) -> Answer:
            looking.set()
            await asyncio.Event().wait()
            raise AssertionError

        door.upstreams.script = waits
        look = asyncio.create_task(ask(door, "tasks/get", about(ident)))
        await looking.wait()
        servers = [upstream("notes"), upstream("clock")]
        door.world.underway.recall(replace(door.snapshots.current, epoch=9, catalogue=catalogue(NOTES, servers)))
        assert (await look).status == 403


LISTEN = "subscriptions/listen"


async def test_a_stream_of_changes_tells_what_becomes_of_a_task(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(task_news, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Line(door) as line:
        ident, script = await begin(door), door.upstreams.script
        script.state["pollIntervalMs"] = 10
        wish = {"notifications": {"taskIds": [ident, "made-up"]}, **KNOWS}
        await line.send("POST", "/mcp", *modern(door.token(), LISTEN, wish, ident="s"))
        await line.head()
        assert (await line.event())["params"]["notifications"] == {"taskIds": [ident]}
        first = await line.event()
        tag = {"io.modelcontextprotocol/subscriptionId": "s"}
        assert first["method"] == "notifications/tasks"
        state = {name: value for name, value in script.state.items() if name != "resultType"}
        assert first["params"] == state | {"taskId": ident, "_meta": tag}
        script.state |= {"status": "completed", "result": {"content": []}}
        last = (await line.event())["params"]
        assert (last["status"], last["result"], last["taskId"]) == ("completed", {"content": []}, ident)
        looks = len(door.upstreams.asks)
        await asyncio.sleep(0.1)
        assert len(door.upstreams.asks) == looks, "what has ended is not looked at again"


async def test_who_does_not_know_tasks_or_did_not_begin_them_hears_of_none(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        for who, params in (("editor", {}), ("reader", KNOWS)):
            async with Line(door) as line:
                wish = {"notifications": {"taskIds": [ident]}, **params}
                await line.send("POST", "/mcp", *modern(door.token(who), LISTEN, wish))
                await line.head()
                assert (await line.event())["params"]["notifications"] == {}


async def test_a_task_that_may_not_be_looked_at_any_more_is_told_of_no_more(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(task_news, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Line(door) as line:
        ident, script = await begin(door), door.upstreams.script
        script.state["pollIntervalMs"] = 10
        await line.send("POST", "/mcp", *modern(door.token(), LISTEN, {"notifications": {"taskIds": [ident]}, **KNOWS}))
        await line.head()
        await line.event()
        await line.event()
        door.snapshots.turn(policy=Policy([rule for rule in RULES if rule.id != "r1"], epoch=2))
        await eventually(lambda: [one for one in door.records("call.refused") if one["method"] == "tasks/get"])
        looks = len(door.upstreams.asks)
        await asyncio.sleep(0.1)
        assert len(door.upstreams.asks) == looks
