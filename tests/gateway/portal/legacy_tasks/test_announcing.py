"""What clients of 2025-11-25 are told of tasks: that there are some, and which tools can be one."""

from __future__ import annotations

from typing import Any

from registry.tables import Era
from tests.fakes.door import Legacy, ask
from tests.gateway.portal.legacy_tasks.setup import (
    door_with_tasks,
)


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
