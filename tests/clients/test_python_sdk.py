"""The official Python SDK client, which begins with nothing but the URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

import mcp_types as types
import pytest
from mcp.client.auth import OAuthFlowError

from tests.clients.browser import Lost
from tests.clients.dance import Dancer

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from mcp import Client

    from tests.clients.conftest import Portal

MODES = pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])


def dancer(portal: Portal) -> Dancer:
    return Dancer(portal.gateway.url, portal.handle, portal.password)


def signed_in(portal: Portal, url: str = "", **options: Any) -> AbstractAsyncContextManager[Client]:
    return dancer(portal).client(url or portal.url, **options)


def text(result: types.CallToolResult) -> str:
    [block] = result.content
    assert isinstance(block, types.TextContent)
    return block.text


@MODES
async def test_a_person_pastes_the_url_signs_in_and_calls_a_tool(portal: Portal, mode: str) -> None:
    async with signed_in(portal, mode=mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "notes_list" in names
        assert "clock_convert" in names
        asked = {"time": "2026-11-21T15:30", "source": "Europe/Vienna", "target": "UTC"}
        converted = await client.call_tool("clock_convert", asked)
        assert converted.structured_content is not None
        assert converted.structured_content["iso"] == "2026-11-21T14:30:00+00:00"
        added = await client.call_tool("notes_add", {"title": "From the SDK"})
        assert added.structured_content is not None
        assert added.structured_content["title"] == "From the SDK"


async def test_the_client_asks_for_the_portal_alone_and_hears_who_answered(portal: Portal) -> None:
    person = dancer(portal)
    async with person.client(portal.url, mode="2026-07-28") as client:
        await client.list_tools()
    [asked] = [parse_qs(urlsplit(url).query) for url in person.asked]
    assert asked["resource"] == [portal.url]
    assert asked["code_challenge_method"] == ["S256"]


async def test_a_mount_shows_the_names_that_its_server_gave(portal: Portal) -> None:
    async with signed_in(portal, f"{portal.gateway.url}/servers/notes/mcp", mode="2026-07-28") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
    assert names == {"list", "search", "read", "add", "update", "delete", "reindex"}


@pytest.mark.parametrize("answer", ["accept", "decline"])
async def test_a_modern_person_is_asked_through_the_gateway_before_a_note_is_deleted(
    portal: Portal, answer: Literal["accept", "decline"]
) -> None:
    asked: list[str] = []

    async def person(_context: Any, params: Any) -> types.ElicitResult:
        asked.append(params.message)
        content = {"confirm": True} if answer == "accept" else None
        return types.ElicitResult(action=answer, content=content)

    async with signed_in(portal, mode="2026-07-28", elicitation_callback=person) as client:
        note = (await client.call_tool("notes_add", {"title": "Short-lived"})).structured_content
        assert note is not None
        said = text(await client.call_tool("notes_delete", {"note_id": note["id"]}))
    assert len(asked) == 1
    assert ("is deleted" in said) is (answer == "accept")


async def test_a_legacy_client_is_told_what_a_modern_tool_wanted_to_ask(portal: Portal) -> None:
    async with signed_in(portal, mode="legacy") as client:
        said = await client.call_tool("notes_delete", {"note_id": "n1"})
    assert said.is_error
    assert "notes" in text(said)
    assert "for good?" in text(said)


@MODES
async def test_progress_comes_while_the_call_is_under_way(portal: Portal, mode: str) -> None:
    seen: list[float] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with signed_in(portal, mode=mode) as client:
        await client.call_tool("notes_reindex", {"steps": 3, "pause": 0.05}, progress_callback=step)
        await client.call_tool("clock_timer", {"seconds": 0.2}, progress_callback=step)
    assert seen[:3] == [1.0, 2.0, 3.0]
    assert len(seen) == 13


@MODES
async def test_resources_templates_prompts_and_completion_pass(portal: Portal, mode: str) -> None:
    async with signed_in(portal, mode=mode) as client:
        assert "notes://index" in [resource.uri for resource in (await client.list_resources()).resources]
        templates = (await client.list_resource_templates()).resource_templates
        assert "notes://note/{note_id}" in [template.uri_template for template in templates]
        read = await client.read_resource("notes://note/n2")
        assert isinstance(read.contents[0], types.TextResourceContents)
        assert "Door code" in read.contents[0].text
        prompt = await client.get_prompt("notes_summarise", {"note_id": "n2"})
        assert isinstance(prompt.messages[0].content, types.TextContent)
        offered = await client.complete(
            types.PromptReference(type="ref/prompt", name="clock_meeting"), {"name": "zone", "value": "Europe/Vie"}
        )
        assert offered.completion.values == ["Europe/Vienna"]


async def test_a_token_is_refreshed_without_asking_the_person_again(portal: Portal) -> None:
    person = dancer(portal)
    async with person.client(portal.url, mode="2026-07-28") as client:
        await client.call_tool("notes_list", {})
        before = person.memory.tokens
        assert person.provider is not None
        person.provider.context.token_expiry_time = 1.0
        await client.call_tool("notes_list", {})
        after = person.memory.tokens
    assert before is not None
    assert after is not None
    assert after.access_token != before.access_token
    assert after.refresh_token != before.refresh_token
    assert len(person.asked) == 1


async def test_a_wrong_password_leads_nowhere(portal: Portal) -> None:
    stranger = Dancer(portal.gateway.url, portal.handle, "not-the-password")

    async def connect() -> None:
        async with stranger.client(portal.url, mode="2026-07-28") as client:
            await client.list_tools()

    with pytest.raises((Lost, OAuthFlowError, ExceptionGroup)):
        await connect()
    assert len(stranger.asked) == 1
    assert stranger.memory.tokens is None
