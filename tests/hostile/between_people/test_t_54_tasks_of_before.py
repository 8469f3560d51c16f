"""T-54: a task of a client of 2025-11-25 is guessed, altered, or asked for by somebody else or elsewhere; T-53: what
is kept for one person is found by nobody else.
"""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest

from gateway.portal import handles
from gateway.portal.legacy.tasks import book
from gateway.upstream import Answer
from tests.fakes.door import Legacy, ask
from tests.gateway.portal.legacy_tasks.setup import RESULT, STATE, begin, door_with_tasks
from tests.gateway.portal.test_tasks import about
from tests.gateway.portal.test_tasks import begin as begin_modern

METHODS = ["tasks/get", "tasks/result", "tasks/cancel"]


async def is_unknown(client: Legacy, method: str, ident: str) -> bool:
    error = (await client.say(method, {"taskId": ident})).json["error"]
    return bool(error["code"] == -32602 and error["message"].startswith("Unknown task"))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_t_54_somebody_elses_task_is_not_there(tmp_path, method: str, at_once: bool) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door, "reader") as other:
        if at_once:
            door.upstreams.script.answer = dict(RESULT)
        ident = await begin(client)
        before = len(door.upstreams.asks)
        assert await is_unknown(other, method, ident)
        assert len(door.upstreams.asks) == before
        assert door.records("call.refused")[-1]["reason"] == "unknown"
        assert (await other.say("tasks/list")).json["result"] == {"tasks": []}


@pytest.mark.parametrize("method", METHODS)
async def test_t_54_a_task_of_another_mount_is_not_there(tmp_path, method: str) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        async with Legacy(door, path="/servers/notes/mcp") as elsewhere:
            assert await is_unknown(elsewhere, method, ident)
            assert (await elsewhere.say("tasks/list")).json["result"] == {"tasks": []}


async def test_t_54_a_task_of_one_era_is_none_of_the_other(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        before, today = await begin(client), await begin_modern(door)
        assert (await ask(door, "tasks/get", about(before))).json["error"]["code"] == -32602
        assert await is_unknown(client, "tasks/get", today)


async def test_t_54_the_servers_own_id_and_made_up_ones_lead_nowhere(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        made_up = base64.urlsafe_b64encode(b"x" * 64).decode()
        for guess in ("up-1", "", ident[:-1], ident + "A", made_up, "A" * 9000):
            for method in METHODS:
                assert await is_unknown(client, method, guess)


async def test_t_54_no_byte_of_an_id_can_be_changed(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        ident = await begin(client)
        for place in range(0, len(ident), 7):
            other = "B" if ident[place] != "B" else "C"
            assert await is_unknown(client, "tasks/get", ident[:place] + other + ident[place + 1 :])


async def test_t_54_an_id_ends_with_its_task_and_leaves_the_list(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(handles, "GRACE", -61)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client:
        assert await is_unknown(client, "tasks/get", await begin(client))
        assert (await client.say("tasks/list")).json["result"] == {"tasks": []}


async def test_t_54_a_cursor_of_one_person_opens_no_list_of_another(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door, "reader") as other:
        for _ in range(11):
            await begin(client)
        cursor = (await client.say("tasks/list")).json["result"]["nextCursor"]
        assert (await other.say("tasks/list", {"cursor": cursor})).json["error"]["code"] == -32602


async def test_t_53_what_is_kept_for_one_person_is_opened_for_no_other_and_lies_sealed(tmp_path) -> None:
    """Whoever could write into the meeting place could put one person's result where another's is looked for."""
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door, "reader") as other:
        door.upstreams.script.answer = {**RESULT, "content": [{"type": "text", "text": "the secret of one"}]}
        await begin(client)
        parcels = door.world.rendezvous._parcels
        [mine] = [key for key in parcels if key.startswith("task-kept/")]
        door.upstreams.script.answer = {**RESULT, "content": []}
        theirs = await begin(other)
        [place] = [key for key in parcels if key.startswith("task-kept/") and key != mine]
        assert not any(b"secret of one" in value for _, value in parcels.values())
        parcels[place] = parcels[mine]
        assert await is_unknown(other, "tasks/result", theirs)


async def test_t_54_one_client_fills_no_more_than_its_own_room(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(book, "KEPT_MOST", 2000)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as client, Legacy(door, "reader") as other:
        door.upstreams.script.answer = {**RESULT, "content": [{"type": "text", "text": "x" * 700}]}
        theirs = await begin(other)
        for _ in range(5):
            await begin(client)
        kept = [key for key in door.world.rendezvous._parcels if key.startswith("task-kept/")]
        assert len(kept) == 3
        assert "result" in (await other.say("tasks/result", {"taskId": theirs})).json


class Diary:
    """A server with one credential for all: it knows tasks by number, and holds the name of who began each."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    async def __call__(self, server, asked, down) -> Answer:
        if asked.method == "tools/call":
            self.begun.append(asked.principal.subject)
            at_once = asked.params["arguments"] == b'{"at":"once"}'
            said = whose(self.begun[-1]) if at_once else {**STATE, "resultType": "task", "taskId": str(len(self.begun))}
        else:
            number = int(json.loads(asked.params["taskId"]))
            said = {**STATE, "taskId": str(number), "status": "completed", "result": whose(self.begun[number - 1])}
        return Answer(result=json.dumps(said).encode())


def whose(name: str) -> dict[str, Any]:
    return {**RESULT, "content": [{"type": "text", "text": f"for {name}"}]}


async def test_t_53_of_many_tasks_of_two_people_none_says_anything_to_the_other(tmp_path) -> None:
    chance = Random(53)
    async with door_with_tasks(tmp_path) as door, Legacy(door) as one, Legacy(door, "reader") as other:
        door.upstreams.script = Diary()
        people, ids = {"editor": one, "reader": other}, {"editor": [""], "reader": [""]}
        for _ in range(120):
            who, foreign = chance.sample(list(people), 2)
            if chance.random() < 0.4:
                arguments = {"at": "once"} if chance.random() < 0.5 else {}
                ids[who].append(await begin(people[who], arguments=arguments))
            own = (await people[who].say("tasks/result", {"taskId": chance.choice(ids[who])})).json
            assert "error" in own or own["result"]["content"][0]["text"] == f"for {who}"
            assert await is_unknown(people[who], chance.choice(METHODS), chance.choice(ids[foreign]))
        for who, client in people.items():
            listed = (await client.say("tasks/list")).json["result"]["tasks"]
            assert listed
            assert {task["taskId"] for task in listed} <= set(ids[who])
