"""Servers of 2026-07-28: what they say passes byte-true, and what only the envelope is for stays with us."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.upstream import Ask, UpstreamBroken, UpstreamBusy
from registry.tables import Era
from tests.fakes.processes import running
from tests.fakes.servers.raw import LAST, STREAM, Asked, error, event, http, principal, raw_server, upstream_at

ODD = b'{ "content" : [{"type":"hologram","x":[1.0,1e2,12345678901234567890,null]}],"resultType":"complete",  "z":{}}'


def raw_result(asked: Asked, value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","result":%s,"id":%d,"extra":1}' % (value, asked.message["id"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_result_passes_byte_for_byte(servers, caller, streamed):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        message = raw_result(asked, ODD)
        return STREAM + event(message) + LAST if streamed else http(message)

    async with raw_server(respond) as server:
        answer = await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)
        assert answer.result == ODD


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    arguments=JSON, value=st.dictionaries(st.text(max_size=5).filter(lambda key: key != "resultType"), JSON, max_size=3)
)
async def test_arguments_and_results_survive_whatever_they_are(make_servers, caller, arguments, value):
    """The spaces and escapes of whoever wrote them included."""
    sent = json.dumps(arguments, indent=2).encode()
    said = json.dumps(value, indent=1, ensure_ascii=True).encode()

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        assert b'"arguments":' + sent in asked.body
        return http(raw_result(asked, said))

    async with raw_server(respond) as server:
        ask = Ask(method="tools/call", params={"arguments": sent}, principal=None)
        answer = await make_servers().send(server.upstream(), ask, caller, None)
        assert json.loads(answer.result) == {"resultType": "complete"} | value
        assert answer.result.endswith(said[1:].lstrip() if value else b"}")


async def test_input_required_is_left_as_it_is(servers, caller):
    asking = b'{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}},"requestState":"s"}'

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(raw_result(asked, asking))

    async with raw_server(respond) as server:
        answer = await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)
        assert answer.result == asking


@pytest.mark.parametrize("code", [-32020, -32022, -32600, -32700])
async def test_what_we_did_wrong_is_not_blamed_on_the_caller(servers, caller, code):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(error(asked, code), "400 Bad Request")

    async with raw_server(respond) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)


async def test_a_modern_server_may_not_ask_back(servers, caller):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return STREAM + event({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}})

    async with raw_server(respond) as server:
        with pytest.raises(UpstreamBroken, match="asked back"):
            await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)
    assert not caller.questions


@pytest.mark.parametrize(("said", "expected"), [("7", 7), ("9999999999", 60), ("soon", 1), ("-1", 1)])
async def test_a_server_that_wants_a_pause_gets_one(servers, caller, said, expected):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "429 Too Many Requests", extra=f"Retry-After: {said}\r\n")

    async with raw_server(respond) as server:
        with pytest.raises(UpstreamBusy) as busy:
            await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)
        assert busy.value.retry_after == expected


async def test_what_was_not_asked_for_is_not_passed_on(servers, caller):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        token = asked.message["params"]["_meta"].get("progressToken", asked.message["id"])
        said = [
            ("notifications/progress", {"progressToken": token, "progress": 1}),
            ("notifications/message", {"level": "emergency", "data": 1}),
        ]
        notes = b"".join(event({"jsonrpc": "2.0", "method": name, "params": params}) for name, params in said)
        return STREAM + notes + event(raw_result(asked, b"{}")) + LAST

    async with raw_server(respond) as server:
        await servers.send(server.upstream(), Ask(method="tools/call", principal=None), caller, None)
        assert not caller.heard
        ask = Ask(method="tools/call", principal=None, progress=True, log_level="debug")
        await servers.send(server.upstream(), ask, caller, None)
        assert [name for name, _ in caller.heard] == ["notifications/progress", "notifications/message"]


async def test_a_modern_server_of_the_sdk_is_served(servers, caller):
    with running("-m", "tests.fakes.fixture", "--era", "modern") as url:
        upstream = upstream_at(url, Era.MODERN)
        assert (await servers.probe(upstream, None)).era is Era.MODERN
        for tool in ("test_simple_text", "test_tool_with_progress", "test_tool_with_logging", "test_error_handling"):
            ask = Ask(
                method="tools/call",
                name=tool,
                params={"name": f'"{tool}"'.encode(), "arguments": b"{}"},
                principal=principal("a"),
                progress=True,
                log_level="debug",
            )
            answer = json.loads((await servers.send(upstream, ask, caller, None)).result)
            assert answer["resultType"] == "complete"
            assert answer["content"]
        assert {name for name, _ in caller.heard} == {"notifications/progress", "notifications/message"}
        await servers.close()
