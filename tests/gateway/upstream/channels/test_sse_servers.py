"""Servers of HTTP+SSE (2024-11-05): the SDK's own, and some that say what no library would."""

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.upstream import Ask, UpstreamBroken, UpstreamBusy, UpstreamSlow
from gateway.upstream.channels import sse
from registry.catalogue import Credential
from registry.tables import Auth, Era, Transport
from tests.fakes.processes import running
from tests.fakes.servers.channels import until
from tests.fakes.servers.raw import STREAM, Asked, chunk, http, principal, raw_server, upstream_at


@pytest.fixture(scope="module")
def real():
    with running("-m", "tests.fakes.fixture", "--sse") as url:
        yield replace(upstream_at(url, Era.LEGACY), transport=Transport.SSE)


def call(name: str, who: str = "ann", **arguments) -> Ask:
    params = {"name": json.dumps(name).encode(), "arguments": json.dumps(arguments).encode()}
    return Ask(method="tools/call", name=name, params=params, principal=principal(who))


def texts(answer) -> str:
    return "".join(one["text"] for one in json.loads(answer.result)["content"])


class Sse:
    """A server that writes `endpoint` where it is told to, and answers on its stream as `answer` says."""

    def __init__(self, endpoint: str = "/messages?id=1", answer=None) -> None:
        self.endpoint = endpoint
        self.answer = answer or self.plain
        self.streams: list[asyncio.StreamWriter] = []

    def plain(self, message: dict) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}).encode()

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.line.startswith("GET"):
            self.streams.append(writer)
            writer.write(STREAM)
            return chunk(f"event: endpoint\r\ndata: {self.endpoint}\r\n\r\n".encode())
        if "id" not in asked.message:
            return http(b"", "202 Accepted")
        if asked.method == "initialize":
            value = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            said = json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": value}).encode()
        else:
            said = self.answer(asked.message)
        if said is not None:
            self.streams[-1].write(chunk(b"event: message\r\ndata: " + said + b"\r\n\r\n"))
        return http(b"Accepted", "202 Accepted", "text/plain")


def at(server, **changes):
    return server.upstream(Era.LEGACY, transport=Transport.SSE, **changes)


async def test_the_sdks_own_is_read_and_called(real, servers, caller):
    probed = await servers.probe(real, None)
    assert probed.era is Era.LEGACY
    answer = await servers.send(real, call("test_simple_text"), caller, None)
    assert "simple text" in texts(answer)


async def test_what_it_says_meanwhile_is_heard(real, servers, caller):
    ask = call("test_tool_with_progress")
    ask.progress = True
    await servers.send(real, ask, caller, None)
    assert [method for method, _ in caller.heard] == ["notifications/progress"] * 3


async def test_what_it_asks_meanwhile_is_put_to_the_caller(real, servers, caller):
    caller.reply = b'{"action":"accept","content":{"response":"yes"}}'
    ask = call("test_elicitation", message="sure?")
    ask.legacy_session, ask.capabilities = "s", b'{"elicitation":{}}'
    answer = await servers.send(real, ask, caller, None)
    assert "action=accept" in texts(answer), answer
    assert [method for method, _ in caller.questions] == ["elicitation/create"]


async def test_one_stream_serves_many_calls_of_one_person_and_of_nobody_else(servers, caller):
    fake = Sse()
    async with raw_server(fake) as server:
        for who in ("ann", "ann", "bob"):
            await servers.send(at(server), call("t", who), caller, None)
        assert len(fake.streams) == 2


async def test_a_stream_that_was_closed_is_opened_again(servers, caller):
    fake = Sse()
    async with raw_server(fake) as server:
        await servers.send(at(server), call("t"), caller, None)
        fake.streams[-1].close()
        await until(lambda: not servers._engines[Transport.SSE]._opened._talks)
        with pytest.raises(UpstreamBusy):
            await servers.send(at(server), call("t"), caller, None)
        for trouble in servers._engines[Transport.SSE]._opened._troubles.values():
            trouble.until = 0
        await servers.send(at(server), call("t"), caller, None)
        assert len(fake.streams) == 2


async def test_a_call_whose_stream_ends_hears_that_it_may_have_been_carried_out(servers, caller):
    fake = Sse(answer=lambda message: fake.streams[-1].close())
    async with raw_server(fake) as server:
        with pytest.raises(UpstreamBroken, match="may have been carried out"):
            await servers.send(at(server), call("t"), caller, None)


async def test_another_path_of_its_own_origin_is_written_to(servers, caller):
    async with raw_server(Sse("messages/x?session=%2f1")) as server:
        await servers.send(at(server), call("t"), caller, None)
        assert server.asked_for("tools/call")[0].line == "POST /messages/x?session=%2f1 HTTP/1.1"


async def test_one_that_never_says_where_to_write_is_given_up(servers, caller, monkeypatch):
    monkeypatch.setattr(sse, "ENDPOINT_WITHIN", 0.2)

    async def silent(asked, writer):
        return STREAM

    async with raw_server(silent) as server:
        with pytest.raises(UpstreamSlow, match="does not say where"):
            await servers.send(at(server), call("t"), caller, None)


async def test_a_stream_that_the_server_has_forgotten_is_opened_again(servers, caller):
    class Forgetful(Sse):
        async def __call__(self, asked, writer):
            if asked.method == "tools/call" and len(self.streams) == 1:
                return http(b"Could not find session", "404 Not Found", "text/plain")
            return await super().__call__(asked, writer)

    fake = Forgetful()
    opened = servers._engines[Transport.SSE]._opened
    async with raw_server(fake) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(at(server), call("t"), caller, None)
        await until(lambda: not opened._talks)
        for trouble in opened._troubles.values():
            trouble.until = 0
        await servers.send(at(server), call("t"), caller, None)
        assert len(fake.streams) == 2


async def test_each_request_carries_the_credential_of_the_moment(servers, caller):
    async with raw_server(Sse()) as server:
        upstream = at(server, auth=Auth.STATIC)
        for value in (b"Bearer one", b"Bearer two"):
            credential = Credential("raw", f"http://127.0.0.1:{server.port}", b"authorization", value, account="a")
            await servers.send(upstream, call("t"), caller, credential)
        sent = [one.headers["authorization"] for one in server.asked_for("tools/call")]
        assert sent == ["Bearer one", "Bearer two"]
