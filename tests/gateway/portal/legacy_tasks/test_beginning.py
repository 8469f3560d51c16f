"""Calls of clients of 2025-11-25 that are to be tasks, before a server that runs them by the extension (SEP-2663)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.portal.legacy.tasks import book
from registry.tables import Era
from tests.fakes.door import Legacy, open_door
from tests.gateway.portal.legacy_tasks.setup import (
    CALL,
    EXTENSION,
    RELATED,
    RESULT,
    TIMES,
    begin,
    door_with_tasks,
)


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
