"""A server that says of a task that there is news is asked at once, and whoever follows it hears what it answers."""

from __future__ import annotations

import asyncio

from gateway.portal.listening import hints, task_news
from gateway.upstream import FeedEvent
from gateway.upstream.following import TASK, UPDATED
from tests.fakes.deadlines import within
from tests.fakes.door import Legacy, Line, eventually, modern
from tests.gateway.portal.legacy_tasks import setup as before
from tests.gateway.portal.test_tasks import BEGUN, KNOWS, begin, door_with_tasks


async def test_a_client_hears_of_a_change_when_its_server_says_so_and_not_when_it_is_looked_at_next(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(hints, "APART", 0.01)
    monkeypatch.setattr(task_news, "POLL", 3600.0)
    monkeypatch.setattr(task_news, "LONGEST", 3600.0)
    async with door_with_tasks(tmp_path) as door, Line(door) as line:
        ident = await begin(door)
        wish = {"notifications": {"taskIds": [ident]}, **KNOWS}
        await line.send("POST", "/mcp", *modern(door.token(), "subscriptions/listen", wish))
        await line.head()
        assert (await line.event())["params"]["notifications"]["taskIds"] == [ident]
        assert (await line.event())["params"]["status"] == "working"

        door.upstreams.script.state = {**BEGUN, "resultType": "complete", "status": "completed", "lastUpdatedAt": "c"}
        door.upstreams.feeds.put_nowait(FeedEvent("notes", UPDATED, TASK + "somebody-elses"))
        door.upstreams.feeds.put_nowait(FeedEvent("notes", UPDATED, TASK + "up-1"))

        told = await within(line.event(), 10)
        assert (told["params"]["taskId"], told["params"]["status"]) == (ident, "completed")
        looks = [record for record in door.records("call.intent") if record["method"] == "tasks/get"]
        assert len(looks) == 2, "each look is on record, and only what concerns the task leads to one"


async def test_a_server_that_says_much_is_asked_now_and_then(monkeypatch) -> None:
    monkeypatch.setattr(hints, "APART", 0.05)
    hint, began, loop = hints.Hint(), 0, asyncio.get_running_loop()
    end = loop.time() + 0.5
    while loop.time() < end:
        hint.tell("x")
        await hint.wait(3600.0)
        began += 1
    assert 1 <= began <= 11


async def test_a_session_of_before_hears_of_its_tasks_when_their_server_says_so(tmp_path, monkeypatch) -> None:
    from gateway.portal.legacy.tasks import news

    monkeypatch.setattr(hints, "APART", 0.01)
    monkeypatch.setattr(news, "SOON", 0.05)
    async with before.door_with_tasks(tmp_path) as door, Legacy(door) as client:
        door.upstreams.script.state["pollIntervalMs"] = 3_600_000
        await before.begin(client)
        stream = await client.another(door)
        await stream.send("GET", "/mcp", client.headers)
        await stream.head()
        await eventually(lambda: [asked for asked in door.upstreams.asks if asked.method == "tasks/get"])
        door.upstreams.script.state |= {"status": "completed", "result": before.RESULT}
        await asyncio.sleep(0.2)
        door.upstreams.feeds.put_nowait(FeedEvent("notes", UPDATED, TASK + "up-1"))
        told = await within(stream.event(), 10)
        assert (told["method"], told["params"]["status"]) == ("notifications/tasks/status", "completed")
        await stream.__aexit__()
