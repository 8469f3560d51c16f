"""The fakes do what the tests that use them rely on."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2
import pytest
from mcp import Client

from tests.fakes.network.forwarder import Forwarder
from tests.fakes.processes import running

COUNTING = ("-m", "tests.fakes.servers.counting")


def forwarder_to(url: str) -> Forwarder:
    parts = urlsplit(url)
    return Forwarder(parts.hostname or "", parts.port or 0, "a-token")


@pytest.mark.parametrize("streamed", [False, True])
def test_the_forwarder_adds_authorization_and_changes_no_other_byte(*, streamed: bool) -> None:
    body = b'{"jsonrpc": "2.0",\n "id": 1,  "method": "ping"}'
    with running(*COUNTING) as url, forwarder_to(url) as forwarder:
        content = iter([body[:9], body[9:]]) if streamed else body
        through = f"http://127.0.0.1:{forwarder.port}"
        headers = {"MCP-Protocol-Version": "2026-07-28", "X-Odd": "a  b"}
        answer = httpx2.post(f"{through}/mcp", content=content, headers=headers, trust_env=False)
        assert answer.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
        [seen] = httpx2.get(f"{through}/seen", trust_env=False).json()
    assert seen["raw"].encode() == body
    assert [pair for pair in seen["headers"] if pair[0] == "authorization"] == [["authorization", "Bearer a-token"]]
    assert ["x-odd", "a  b"] in seen["headers"]


async def test_an_event_stream_flows_through_the_forwarder_while_it_is_open() -> None:
    seen: list[float] = []

    async def step(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    with running("-m", "tests.fakes.fixture", "--era", "both") as url, forwarder_to(url) as forwarder:
        async with Client(f"http://127.0.0.1:{forwarder.port}/mcp", mode="2026-07-28") as client:
            await client.call_tool("test_tool_with_progress", {}, progress_callback=step)
    assert seen == [0, 50, 100]


@pytest.mark.parametrize(("era", "version"), [("modern", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_a_server_of_one_era_is_found_to_be_of_that_era(era: str, version: str) -> None:
    with running(*COUNTING, "--era", era) as url:
        async with Client(url, mode="auto") as client:
            assert client.session.protocol_version == version
            answer = await client.call_tool("echo", {"text": "hi"})
    assert answer.content[0].model_dump()["text"] == '{"text": "hi"}'


def test_the_counting_server_answers_as_it_is_told() -> None:
    headers = {"MCP-Protocol-Version": "2026-07-28"}
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "echo"}}
    with running(*COUNTING) as url:
        base = url.removesuffix("/mcp")
        told = {"status": 502, "headers": {"Content-Type": "text/html"}, "body": "<p>{{id}}"}
        httpx2.post(f"{base}/answer", json=told, trust_env=False)
        answer = httpx2.post(url, json=call, headers=headers, trust_env=False)
    assert (answer.status_code, answer.text) == (502, "<p>7")
