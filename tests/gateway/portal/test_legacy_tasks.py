"""Tasks as clients of 2025-11-25 have them, before a server that runs them by the extension (SEP-2663)."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.portal.legacy import stream
from gateway.portal.legacy.tasks import answering, awaiting, book, news, words
from gateway.upstream import Answer
from registry.tables import Era
from tests.fakes.door import NOTES, RULES, Legacy, Line, ask, catalogue, entry, eventually, open_door, upstream

EXTENSION = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
TASKS_OF_BEFORE = {"tasks": {"requests": {"tools": {"call": {}}}}}
CALL = {"name": "notes_add", "arguments": {"text": "hi"}, "task": {}}
TIMES = {"createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:01Z"}
STATE = {"taskId": "up-1", "status": "working", **TIMES, "ttlMs": 60000, "pollIntervalMs": 10}
FORM = {"method": "elicitation/create", "params": {"message": "Sure?", "requestedSchema": {"type": "object"}}}
RESULT = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]}


class Server:
    """Begins a task with each call, of which it says what `state` holds; what it is told is in `heard`."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {"resultType": "task", **STATE}
        self.state: dict[str, Any] = dict(STATE)
        self.coming: list[dict[str, Any]] = []  # what it says next, look by look
        self.heard: list[Any] = []

    async def __call__(self, server, asked, down) -> Answer:
        if asked.method == "tools/call":
            return Answer(result=json.dumps(self.answer).encode())
        if asked.method == "tasks/update":
            self.heard.append(json.loads(asked.params["inputResponses"]))
            self.state = {**STATE, "status": "completed", "result": RESULT}
        if asked.method == "tasks/cancel":
            self.state["status"] = "cancelled"
        if asked.method != "tasks/get":
            return Answer(result=b'{"resultType":"complete"}')
        if self.coming:
            self.state = self.coming.pop(0)
        return Answer(result=json.dumps({"resultType": "complete", **self.state}).encode())


@asynccontextmanager
async def door_with_tasks(tmp_path, era: Era = Era.MODERN, **settings: Any):
    """`notes` runs tasks, as its era has them, and `clock` none."""
    said = {"tools": {}, "extensions": {EXTENSION: {}}} if era is Era.MODERN else {"tools": {}, **TASKS_OF_BEFORE}
    entries = [*NOTES, entry("notes", "long", execution={"taskSupport": "required"})]
    entries.append(entry("clock", "slow", execution={"taskSupport": "optional"}))
    async with open_door(tmp_path, **settings) as door:
        servers = [upstream("notes", era, capabilities=said), upstream("clock", Era.LEGACY)]
        door.snapshots.turn(catalogue=catalogue(entries, servers))
        door.upstreams.script = Server()
        yield door


async def begin(client: Legacy, **more: Any) -> str:
    task = (await client.say("tools/call", {**CALL, **more})).json["result"]["task"]
    ident: str = task["taskId"]
    return ident


async def test_a_call_becomes_a_task_with_an_id_of_ours(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        result = (await client.say("tools/call", CALL)).json["result"]
        ident = result["task"].pop("taskId")
        assert "up-1" not in ident
        assert result == {"task": {"status": "working", **TIMES, "ttl": 60000, "pollInterval": 10}}
        asked = door.upstreams.asks[-1]
        assert EXTENSION.encode() in asked.capabilities
        assert "task" not in asked.params, "a server of 2026-07-28 knows no such wish"


async def test_its_state_is_told_in_the_words_of_the_revision(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"statusMessage": "half", "requestState": "x"}
        told = (await client.say("tasks/get", {"taskId": ident})).json["result"]
        assert told == {
            "taskId": ident, "status": "working", "statusMessage": "half", **TIMES, "ttl": 60000, "pollInterval": 10,
        }  # fmt: skip
        assert door.upstreams.asks[-1].params["taskId"] == b'"up-1"'


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
    async with door_with_tasks(tmp_path, call_limit=0.4, call_deadline=0.3) as door, Legacy(door) as client:
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


async def test_a_task_is_cancelled_once(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        told = (await client.say("tasks/cancel", {"taskId": ident})).json["result"]
        assert (told["taskId"], told["status"]) == (ident, "cancelled")
        assert (await client.say("tasks/cancel", {"taskId": ident})).json["error"]["code"] == -32602
        assert (await client.say("tasks/result", {"taskId": ident})).json["error"][
            "message"
        ] == "The task was cancelled."


async def test_what_was_cancelled_stays_so_whatever_its_server_makes_of_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(answering, "PAUSE", 0.0)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.coming = [dict(STATE) for _ in range(7)]
        assert (await client.say("tasks/cancel", {"taskId": ident})).json["result"]["status"] == "cancelled"
        door.upstreams.script.state = {**STATE, "status": "completed", "result": RESULT}
        door.upstreams.script.coming = []
        assert (await client.say("tasks/get", {"taskId": ident})).json["result"]["status"] == "cancelled"
        assert "error" in (await client.say("tasks/result", {"taskId": ident})).json


# How long it is kept


@pytest.mark.parametrize(("wished", "kept"), [({}, 60000), ({"ttl": 5000}, 5000), ({"ttl": 10**12}, 60000)])
async def test_a_task_is_kept_as_long_as_client_and_server_want(tmp_path, wished, kept: int) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        task = (await client.say("tools/call", {**CALL, "task": wished})).json["result"]["task"]
        assert task["ttl"] == kept
        assert (await client.say("tasks/get", {"taskId": task["taskId"]})).json["result"]["ttl"] == kept


@pytest.mark.parametrize(("wished", "heard"), [({}, 86400000), ({"ttl": 5000}, 5000), ({"ttl": 10**12}, 86400000)])
async def test_a_server_of_before_hears_for_how_long(tmp_path, wished, heard: int) -> None:
    async with door_with_tasks(tmp_path, Era.LEGACY) as door, Legacy(door) as client:
        await begin(client, name="notes_long", task=wished)
        assert json.loads(door.upstreams.asks[-1].params["task"]) == {"ttl": heard}


@pytest.mark.parametrize("wish", [[], "x", {"ttl": "1"}, {"ttl": -1}, {"ttl": True}])
async def test_a_wish_that_is_none_is_refused(tmp_path, wish: Any) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        assert (await client.say("tools/call", {**CALL, "task": wish})).json["error"]["code"] == -32602
        assert door.upstreams.asks == []


# What is said of them


def capability(client: Legacy) -> Any:
    return client.greeting["capabilities"].get("tasks")


async def test_tasks_are_announced_to_who_sees_a_tool_that_can_be_one(tmp_path) -> None:
    whole = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    async with door_with_tasks(tmp_path) as door:
        async with Legacy(door) as client:
            assert capability(client) == whole
        async with Legacy(door, version="2025-06-18") as older:
            assert capability(older) is None
        async with Legacy(door, "nobody") as nobody:
            assert capability(nobody) is None
    async with door_with_tasks(tmp_path / "before", Era.LEGACY) as door:
        async with Legacy(door) as client:
            assert capability(client) == whole
        async with Legacy(door, "reader") as reader:
            assert capability(reader) is None, "the one tool that can be a task is not theirs"


async def listed(client: Legacy) -> dict[str, Any]:
    tools = (await client.say("tools/list")).json["result"]["tools"]
    return {tool["name"]: tool.get("execution") for tool in tools}


async def test_of_each_tool_is_said_what_is_true_here(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        tools = await listed(client)
        assert tools["notes_add"] == tools["notes_long"] == {"taskSupport": "optional"}
        assert tools["clock_slow"] is None, "its server says that it runs no tasks"
        modern = (await ask(door, "tools/list")).json["result"]["tools"]
        assert [tool.get("execution") for tool in modern if tool["name"] == "notes_add"] == [None]
    async with door_with_tasks(tmp_path / "before", Era.LEGACY) as door, Legacy(door) as client:
        tools = await listed(client)
        assert (tools["notes_add"], tools["notes_long"]) == (None, {"taskSupport": "required"})


async def test_a_tool_that_is_no_task_is_not_begun_as_one(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        error = (await client.say("tools/call", {**CALL, "name": "clock_slow"})).json["error"]
        assert error["code"] == -32601
        assert door.upstreams.asks == []
        assert door.records("call.refused")[-1]["reason"] == "no-task"


async def test_a_tool_that_is_not_seen_is_unknown_as_a_task_too(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door, "reader") as client:
        for name in ("clock_slow", "clock_nothing"):
            error = (await client.say("tools/call", {**CALL, "name": name})).json["error"]
            assert error == {"code": -32602, "message": f"Unknown tool: {name}"}


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
async def test_where_nothing_of_tasks_was_said_the_wish_is_passed_over(tmp_path, version: str) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=version) as client:
        assert "content" in (await client.say("tools/call", CALL)).json["result"]
        assert "task" not in door.upstreams.asks[-1].params
        assert (await client.say("tasks/get", {"taskId": "x"})).json["error"]["code"] == -32601


async def test_a_call_without_the_wish_is_a_call(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script.answer = dict(RESULT)
        result = (await client.say("tools/call", {"name": "notes_add"})).json["result"]
        assert result == {"content": RESULT["content"]}
        assert EXTENSION.encode() not in door.upstreams.asks[-1].capabilities


# What a server answers at once


async def test_what_is_answered_at_once_is_a_task_that_has_ended(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script.answer = dict(RESULT)
        task = (await client.say("tools/call", CALL)).json["result"]["task"]
        assert (task["status"], task["ttl"]) == ("working", book.KEPT_LIFE_MS)
        asks = len(door.upstreams.asks)
        told = (await client.say("tasks/get", {"taskId": task["taskId"]})).json["result"]
        assert told == {**task, "status": "completed"}
        result = (await client.say("tasks/result", {"taskId": task["taskId"]})).json["result"]
        assert result == {"content": RESULT["content"], "_meta": {RELATED: {"taskId": task["taskId"]}}}
        assert (await client.say("tasks/cancel", {"taskId": task["taskId"]})).json["error"]["code"] == -32602
        assert len(door.upstreams.asks) == asks
        assert [one["object"] for one in door.records("task.read")] == ["notes.add"] * 3


async def test_what_is_refused_is_an_error_with_its_reason_and_no_task(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door, "reader") as client:
        error = (await client.say("tools/call", {**CALL, "name": "notes_delete"})).json["error"]
        assert error["code"] == 4030
        assert error["data"]["decision"]
        assert (await client.say("tasks/list")).json["result"] == {"tasks": []}


async def test_what_is_too_large_to_be_kept_is_said_to_be(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(book, "RESULT_MOST", 20)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script.answer = dict(RESULT)
        assert "too large" in (await client.say("tools/call", CALL)).json["error"]["message"]


# The list


async def test_a_client_lists_its_own_newest_first_page_by_page(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(answering, "PAGE", 2)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door, "reader") as other:
        begun = [await begin(client) for _ in range(3)]
        foreign = await begin(other)
        first = (await client.say("tasks/list")).json["result"]
        assert [task["taskId"] for task in first["tasks"]] == begun[:0:-1]
        assert first["tasks"][0]["status"] == "working"
        rest = (await client.say("tasks/list", {"cursor": first["nextCursor"]})).json["result"]
        assert [task["taskId"] for task in rest["tasks"]] == begun[:1]
        assert "nextCursor" not in rest
        theirs = (await other.say("tasks/list")).json["result"]["tasks"]
        assert [task["taskId"] for task in theirs] == [foreign]


async def test_what_may_not_be_looked_at_any_more_is_not_listed(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        await begin(client)
        second = await begin(client, name="notes_delete")
        deny = Rule(id="d", subject="user:editor", object="notes.add", action="*", effect="deny")
        door.snapshots.turn(policy=Policy([*RULES, deny], epoch=2))
        tasks = (await client.say("tasks/list")).json["result"]["tasks"]
        assert [task["taskId"] for task in tasks] == [second]


async def test_the_list_is_as_long_as_it_may_be_and_what_leaves_it_is_not_kept(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(book, "MOST", 2)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script.answer = dict(RESULT)
        begun = [await begin(client) for _ in range(3)]
        tasks = (await client.say("tasks/list")).json["result"]["tasks"]
        assert [task["taskId"] for task in tasks] == begun[:0:-1]
        assert (await client.say("tasks/get", {"taskId": begun[0]})).json["error"]["code"] == -32602


@pytest.mark.parametrize("cursor", ["", "x", 1, None, "QUFBQQ=="])
async def test_a_cursor_that_is_none_is_refused(tmp_path, cursor: Any) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        assert (await client.say("tasks/list", {"cursor": cursor})).json["error"]["code"] == -32602


# What is judged and on record


async def test_each_look_is_on_record_like_a_call(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "completed", "result": RESULT}
        for method in ("tasks/get", "tasks/result", "tasks/list"):
            before = len(door.records("call.intent"))
            assert "result" in (await client.say(method, {"taskId": ident})).json
            intents = door.records("call.intent")
            assert len(intents) == before + 1
            assert (intents[-1]["method"], intents[-1]["object"], intents[-1]["era"]) == (
                "tasks/get", "notes.add", "legacy",
            )  # fmt: skip
        assert door.records("list")[-1]["method"] == "tasks/list"


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


async def test_a_task_that_is_no_text_is_refused(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert (await client.say(method, {"taskId": 1})).json["error"]["code"] == -32602


# News of them on the session's own stream


@asynccontextmanager
async def listening(client: Legacy, door):
    """The session's own stream, past its first event."""
    line = await client.another(door)
    try:
        await line.send("GET", "/mcp", [one for one in client.headers if one[0] != "Content-Type"])
        assert (await line.head()).status == 200
        yield line
    finally:
        line.writer.close()


async def test_a_session_hears_what_becomes_of_its_tasks_once(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(news, "SOON", 0.02)
    monkeypatch.setattr(stream, "LOOK", 0.02)
    monkeypatch.setattr(awaiting, "SHORTEST", 0.01)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, listening(client, door) as own:
        ident, script = await begin(client), door.upstreams.script
        script.state |= {"status": "input_required", "inputRequests": {}}
        told = (await own.event())["params"]
        assert (told["taskId"], told["status"]) == (ident, "input_required")
        assert "inputRequests" not in told
        await client.start("tasks/result", {"taskId": ident})
        await eventually(lambda: len(door.upstreams.asks) > 8)
        script.state |= {"status": "completed", "result": RESULT}
        heard = [one for one in (await client.answer()).events if "method" in one]
        other = await begin(client)
        elsewhere: list[Any] = []
        while not elsewhere or elsewhere[-1]["taskId"] != other:
            elsewhere.append((await own.event())["params"])
        assert len(heard) + len(elsewhere) == 2, "what is told on one stream is not told on the other"


async def test_another_session_of_the_same_client_hears_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(news, "SOON", 0.02)
    monkeypatch.setattr(stream, "LOOK", 0.02)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door) as other:
        ident = await begin(client)
        door.upstreams.script.state |= {"status": "completed", "result": RESULT}
        async with listening(other, door) as own:
            theirs = await begin(other)
            assert (await own.event())["params"]["taskId"] == theirs != ident
