"""Looks at tasks of 2025-11-25, their list and their end: judged, recorded, and each client its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.portal.legacy.tasks import answering, book
from tests.fakes.door import RULES, Legacy
from tests.gateway.portal.legacy_tasks.setup import (
    RESULT,
    STATE,
    begin,
    door_with_tasks,
)


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


@given(st.lists(st.integers(0, book.RESULT_MOST), max_size=150))
def test_the_newest_stay_and_no_more_than_there_is_room_for(sizes: list[int]) -> None:
    lines = [book.Line(number, str(number), 0, "s", "k" * bool(size), size) for number, size in enumerate(sizes)]
    left, gone = book._room(lines)
    assert gone + left == lines
    assert len(left) <= book.MOST
    assert sum(line.size for line in left) <= book.KEPT_MOST
    assert left or not lines, "the newest always has room"


async def test_a_task_that_is_no_text_is_refused(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            assert (await client.say(method, {"taskId": 1})).json["error"]["code"] == -32602
