"""The two servers of the demo, over the wire, in both eras."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import mcp_types as types
import pytest
from mcp import Client

from tests.fakes.processes import announced_url, end, running, start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTES = "examples/servers/notes.py"
CLOCK = "examples/servers/clock.py"


@pytest.fixture
def notes() -> Iterator[str]:
    with running(NOTES) as url:
        yield url


@pytest.fixture(scope="module")
def clock() -> Iterator[str]:
    with running(CLOCK) as url:
        yield url


def answering(action: Literal["accept", "decline"]) -> Any:
    async def answer(context: Any, params: Any) -> types.ElicitResult:
        content = {"confirm": True} if action == "accept" else None
        return types.ElicitResult(action=action, content=content)

    return answer


async def titles(client: Client) -> list[str]:
    result = await client.call_tool("list", {})
    assert result.structured_content is not None
    return [note["title"] for note in result.structured_content["notes"]]


@pytest.mark.parametrize("mode", ["2026-07-28", "legacy"])
async def test_a_note_is_deleted_only_after_the_person_confirms(notes: str, mode: Any) -> None:
    async with Client(notes, mode=mode, elicitation_callback=answering("decline")) as client:
        await client.call_tool("delete", {"note_id": "n1"})
        assert "Welcome" in await titles(client)
    async with Client(notes, mode=mode, elicitation_callback=answering("accept")) as client:
        await client.call_tool("delete", {"note_id": "n1"})
        assert "Welcome" not in await titles(client)


async def test_notes_offers_reading_writing_resources_and_prompts(notes: str) -> None:
    async with Client(notes, mode="2026-07-28") as client:
        tools = {tool.name for tool in (await client.list_tools()).tools}
        assert tools == {"list", "search", "read", "add", "update", "delete", "reindex"}
        added = await client.call_tool("add", {"title": "Milk", "text": "two bottles"})
        assert added.structured_content == {"id": "n4", "title": "Milk", "text": "two bottles"}
        read = await client.read_resource("notes://note/n4")
        assert isinstance(read.contents[0], types.TextResourceContents)
        assert read.contents[0].text == "Milk\n\ntwo bottles"
        offered = await client.complete(
            types.PromptReference(type="ref/prompt", name="summarise"), {"name": "note_id", "value": "n"}
        )
        assert offered.completion.values == ["n1", "n2", "n3", "n4"]


async def test_reindex_reports_every_step(notes: str) -> None:
    seen: list[float] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    async with Client(notes, mode="2026-07-28") as client:
        await client.call_tool("reindex", {"steps": 3, "pause": 0.0}, progress_callback=step)
    assert seen == [1.0, 2.0, 3.0]


async def test_notes_in_a_file_are_there_after_a_restart(tmp_path: Path) -> None:
    file = str(tmp_path / "notes.json")
    with running(NOTES, "--file", file) as url:
        async with Client(url) as client:
            await client.call_tool("add", {"title": "Kept"})
    with running(NOTES, "--file", file) as url:
        async with Client(url) as client:
            assert "Kept" in await titles(client)


async def test_clock_knows_the_handshake_and_nothing_newer(clock: str) -> None:
    headers = {"MCP-Protocol-Version": "2026-07-28", "Accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient() as plain:
        answer = await plain.post(clock, json={"jsonrpc": "2.0", "id": 1, "method": "server/discover"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32000)
    async with Client(clock, mode="auto") as client:
        assert client.session.protocol_version == "2025-11-25"


async def test_clock_converts_between_zones(clock: str) -> None:
    asked = {"time": "2026-11-21T15:30", "source": "Europe/Vienna", "target": "UTC"}
    async with Client(clock, mode="legacy") as client:
        answer = await client.call_tool("convert", asked)
    assert answer.structured_content == {"zone": "UTC", "iso": "2026-11-21T14:30:00+00:00", "weekday": "Saturday"}


def test_a_server_ends_on_sigterm() -> None:
    process = start(CLOCK)
    announced_url(process)
    assert end(process) in {0, -signal.SIGTERM}


def test_a_server_ends_when_its_parent_is_gone() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess,sys;subprocess.Popen([sys.executable,{NOTES!r}]);sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    announced_url(parent)
    assert parent.stdout is not None
    parent.kill()
    parent.wait()
    # The orphan holds the other end of the pipe: reading ends when it ends.
    assert _ends(parent.stdout.fileno())
    parent.stdout.close()
    assert parent.stdin is not None
    parent.stdin.close()


def test_a_server_whose_parent_was_gone_before_it_looked_ends_too() -> None:
    """The process that is named never was its parent: as if that had died while the server was being imported."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    process = start(NOTES, "--parent", str(dead.pid))
    try:
        assert process.wait(60) == 0
    finally:
        end(process)


def _ends(pipe: int) -> bool:
    import select

    ready, _, _ = select.select([pipe], [], [], 60.0)
    return bool(ready) and os.read(pipe, 1) == b""
