"""T-54: a task's id is guessed, altered, or used by somebody else or somewhere else; it is no key to anything."""

from __future__ import annotations

import base64

import pytest

from gateway.portal import handles
from tests.fakes.door import Line, ask, modern
from tests.gateway.portal.test_tasks import about, begin, door_with_tasks

METHODS = ["tasks/get", "tasks/update", "tasks/cancel"]


def unknown(got) -> bool:
    error = got.json["error"]
    return bool(error["code"] == -32602 and error["message"].startswith("Unknown task"))


@pytest.mark.parametrize("method", METHODS)
async def test_t_54_somebody_elses_task_is_not_there(tmp_path, method: str) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        before = len(door.upstreams.asks)
        assert unknown(await ask(door, method, about(ident, inputResponses={}), who="reader"))
        assert len(door.upstreams.asks) == before
        assert door.records("call.refused")[-1]["reason"] == "unknown"


@pytest.mark.parametrize("method", METHODS)
async def test_t_54_a_task_of_another_mount_is_not_there(tmp_path, method: str) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        assert unknown(await ask(door, method, about(ident, inputResponses={}), path="/servers/notes/mcp"))


async def test_t_54_another_client_of_the_same_person_does_not_have_it(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door, Line(door) as line:
        ident = await begin(door)
        request = modern(door.token(client="other"), "tasks/get", about(ident))
        assert unknown(await line.ask("POST", "/mcp", *request))


async def test_t_54_the_servers_own_id_and_made_up_ones_lead_nowhere(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        for guess in ("up-1", "", ident[:-1], ident + "A", base64.urlsafe_b64encode(b"x" * 64).decode(), "A" * 9000):
            assert unknown(await ask(door, "tasks/get", about(guess)))


async def test_t_54_no_byte_of_an_id_can_be_changed(tmp_path) -> None:
    async with door_with_tasks(tmp_path) as door:
        ident = await begin(door)
        for place in range(0, len(ident), 7):
            other = "B" if ident[place] != "B" else "C"
            assert unknown(await ask(door, "tasks/get", about(ident[:place] + other + ident[place + 1 :])))


async def test_t_54_an_id_ends_with_its_task(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(handles, "GRACE", -61)
    async with door_with_tasks(tmp_path) as door:
        assert unknown(await ask(door, "tasks/get", about(await begin(door))))
