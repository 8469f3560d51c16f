"""The official Python SDK client with tasks of 2025-11-25, which it has the types of and no more, before either era."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types
import pytest
from mcp import MCPError
from pydantic import TypeAdapter

from tests.clients.dance import Dancer
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp import Client

    from tests.clients.conftest import Portal

RELATED = "io.modelcontextprotocol/related-task"
ANYTHING: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


@pytest.fixture(scope="module", params=["modern", "legacy"])
def jobs(portal: Portal, request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that runs tasks, by the name of its era."""
    slug = f"tasks-{request.param}"
    with running("-m", "tests.fakes.fixture", "--era", request.param) as url:
        portal.gateway.add_server(slug, url)
        portal.gateway.allow("user:alice", f"{slug}.*")
        yield slug


async def say(client: Client, method: str, **params: Any) -> dict[str, Any]:
    request = types.Request[dict[str, Any], str](method=method, params=params)
    return await client.session.send_request(request, ANYTHING)


async def begin(client: Client, **params: Any) -> types.CreateTaskResult:
    """Below the session, which takes no answer of `tools/call` for one that has no content."""
    options: Any = {}
    client.session._stamp({"method": "tools/call", "params": params}, options)
    raw = await client.session._dispatcher.send_raw_request("tools/call", params, options)
    return types.CreateTaskResult.model_validate(raw)


async def test_the_sdk_begins_a_task_answers_it_and_has_its_result(portal: Portal, jobs: str) -> None:
    asked: list[Any] = []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params)
        return types.ElicitResult(action="accept", content={"confirm": True})

    who = Dancer(portal.gateway.url, portal.handle, portal.password)
    async with who.client(portal.url, mode="legacy", elicitation_callback=person) as client:
        call = {"name": f"{jobs}_confirm_delete", "arguments": {"filename": "f"}, "task": {"ttl": 50000}}
        begun = await begin(client, **call)
        ident = begun.task.task_id
        assert begun.task.ttl == 50000
        told = types.GetTaskResult.model_validate(await say(client, "tasks/get", taskId=ident))
        assert told.status in {"working", "input_required"}
        result = types.CallToolResult.model_validate(await say(client, "tasks/result", taskId=ident))
        assert result.content[0].model_dump()["text"] == "confirmed: accept"
        assert (result.meta or {})[RELATED] == {"taskId": ident}
        assert [one.message for one in asked] == [f"[{jobs}] Delete f?"]
        listed = types.ListTasksResult.model_validate(await say(client, "tasks/list"))
        assert ident in [task.task_id for task in listed.tasks]
        with pytest.raises(MCPError) as refused:
            await say(client, "tasks/cancel", taskId=ident)
        assert refused.value.error.code == -32602
