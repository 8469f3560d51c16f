"""Requests that a server did not take because it is of the other era now, or for another reason."""

import asyncio
import json

import pytest

from gateway.upstream import Ask, UpstreamBroken
from gateway.upstream.messages import NotTaken
from registry.tables import Era
from tests.fakes.servers.raw import Asked, error, http, raw_server, result

CALL = Ask(method="tools/call", name="t", params={"name": b'"t"'}, principal=None)
SAYS_NOTHING = {"protocolVersion": "2025-11-25", "capabilities": {}}


def without_id(code: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": "no session"}}).encode()


async def legacy(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    """As the libraries of that era answer whatever is asked without a session."""
    if asked.method == "initialize":
        return http(result(asked, SAYS_NOTHING), extra="Mcp-Session-Id: s\r\n")
    if asked.method == "notifications/initialized":
        return http(b"", "202 Accepted")
    return http(result(asked)) if "mcp-session-id" in asked.headers else http(without_id(-32000), "400 Bad Request")


async def modern(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    """As one answers that knows no sessions."""
    if asked.headers.get("mcp-protocol-version") != "2026-07-28":
        return http(error(asked, -32022, data={"supported": ["2026-07-28"]}), "400 Bad Request")
    if asked.method == "server/discover":
        return http(result(asked, {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {}}))
    return http(result(asked))


@pytest.mark.parametrize(("speaks", "registered"), [(legacy, Era.MODERN), (modern, Era.LEGACY)])
async def test_a_server_of_the_other_era_has_not_taken_the_call_and_turns_out_to_be_one(
    servers, caller, speaks, registered
):
    async with raw_server(speaks) as server:
        upstream = server.upstream(registered)
        with pytest.raises(NotTaken) as refused:
            await servers.send(upstream, CALL, caller, None)
        assert refused.value.method == "tools/call"
        assert await servers.is_other(upstream, None)


async def test_a_session_of_before_does_not_hide_that_its_server_is_another_one(servers, caller):
    now = legacy

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return await now(asked, writer)

    async with raw_server(respond) as server:
        upstream = server.upstream(Era.LEGACY)
        assert (await servers.send(upstream, CALL, caller, None)).result
        now = modern
        with pytest.raises(NotTaken):
            await servers.send(upstream, CALL, caller, None)


async def test_what_only_looks_like_another_era_stays_what_it_was(servers, caller):
    """A server's own word is needed, and it is asked for only once for all who wait."""

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.method == "tools/call":
            return http(error(asked, -32000), "400 Bad Request")
        return await modern(asked, writer)

    async with raw_server(respond) as server:
        upstream = server.upstream()
        for _ in range(3):
            answer = await servers.send(upstream, CALL, caller, None)
            assert (json.loads(answer.error)["code"], answer.strange) == (-32000, "tools/call")
            assert not any(await asyncio.gather(*(servers.is_other(upstream, None) for _ in range(5))))
        assert len(server.asked_for("server/discover")) == 1


async def test_a_server_that_answers_nobody_is_of_no_other_era(servers):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "404 Not Found")

    async with raw_server(respond) as server:
        assert not await servers.is_other(server.upstream(), None)


@pytest.mark.parametrize("status", ["408 Request Timeout", "409 Conflict", "500 Internal Server Error"])
async def test_what_may_have_been_done_is_not_counted_as_not_taken(servers, caller, status):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", status)

    async with raw_server(respond) as server:
        with pytest.raises(UpstreamBroken) as broken:
            await servers.send(server.upstream(), CALL, caller, None)
        assert not isinstance(broken.value, NotTaken)
