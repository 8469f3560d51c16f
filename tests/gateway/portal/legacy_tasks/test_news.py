"""What a session of 2025-11-25 hears of its tasks on its own stream."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Any

from gateway.portal.legacy import stream
from gateway.portal.legacy.tasks import awaiting, news
from tests.fakes.door import Legacy, eventually
from tests.gateway.portal.legacy_tasks.setup import (
    RESULT,
    begin,
    door_with_tasks,
)


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
