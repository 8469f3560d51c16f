"""T-45, T-49 and T-72 to T-77: what a server does to us stays with that server, and none of its words come through."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import Answer, Ask, UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamSlow
from gateway.upstream.connections import Servers
from registry.catalogue import Credential
from registry.secrets.vault import Vault
from registry.tables import Era
from tests.fakes.deadlines import within
from tests.fakes.servers.raw import LAST, STREAM, Asked, chunk, error, event, http, principal, raw_server, result

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Respond = Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]

MIB = 1024 * 1024
SECRET = "s3cr3t-of-the-server"


class Nobody:
    async def notify(self, method: str, params: bytes) -> None:
        pass

    def refuses(self, method: str, params: bytes) -> str:
        return ""

    async def request(self, method: str, params: bytes) -> bytes:
        raise AssertionError("nobody may be asked")


class Clock:
    """Time that can be made to pass."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def servers(clock: Clock) -> AsyncIterator[Servers]:
    rendezvous = MemoryRendezvous()
    one = Servers(Vault({"1": os.urandom(32)}), rendezvous, Terms(5.0, 20.0, MIB), 16 * MIB, clock)
    yield one
    await one.close()
    await rendezvous.close()
    assert one.in_flight == 0


@pytest.fixture(params=list(Era), ids=str)
def era(request: pytest.FixtureRequest) -> Era:
    """What a server does to us it can do in either."""
    return request.param  # type: ignore[no-any-return]


def met(era: Era, respond: Respond) -> Respond:
    """A server that misbehaves when a tool is called; before that, a legacy one begins a session as it should."""
    if era is Era.MODERN:
        return respond

    async def politely(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.method == "tools/call":
            return await respond(asked, writer)
        if asked.method == "initialize":
            value = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            return http(result(asked, value), extra="Mcp-Session-Id: one\r\n")
        return http(b"", "202 Accepted")

    return politely


async def call(servers: Servers, upstream: object, credential: Credential | None = None) -> Answer:
    ask = Ask(method="tools/call", name="t", params={"name": b'"t"'}, principal=None, progress=True)
    return await servers.send(upstream, ask, Nobody(), credential)  # type: ignore[arg-type]


async def refusal(servers: Servers, era: Era, respond: Respond) -> UpstreamError:
    """What a caller is told; never anything that the server said."""
    async with raw_server(met(era, respond)) as server:
        with pytest.raises(UpstreamError) as refused:
            await call(servers, server.upstream(era))
        assert SECRET not in str(refused.value)
        return refused.value


def saying(answer: bytes) -> Respond:
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return answer

    return respond


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t_45_and_t_49_a_redirect_is_not_followed_and_takes_no_credential_along(servers, status, era):
    async with raw_server(saying(http(b"{}"))) as other:
        away = saying(http(b"", f"{status} Moved", extra=f"Location: http://127.0.0.1:{other.port}/moved-here\r\n"))
        async with raw_server(met(era, away)) as server:
            held = Credential("raw", f"http://127.0.0.1:{server.port}", b"Authorization", SECRET.encode())
            with pytest.raises(UpstreamBroken, match="redirects"):
                await call(servers, server.upstream(era), held)
            assert len(server.asked_for("tools/call")) == 1
        assert not [asked for asked in other.asked if "moved-here" in asked.line or SECRET.encode() in asked.head]


async def test_t_72_an_event_without_end_is_cut(servers, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(b"data: "))
        while not writer.is_closing():
            writer.write(chunk(b"x" * 65536))
            await writer.drain()

    assert isinstance(await refusal(servers, era, respond), UpstreamBroken)


@pytest.mark.parametrize("piece", [b": only a comment\n\n", b"\n", b"data: {}\n"])
async def test_t_72_a_stream_of_nothing_is_cut(servers, piece, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while not writer.is_closing():
            writer.write(chunk(piece * 4000))
            await writer.drain()

    assert isinstance(await refusal(servers, era, respond), UpstreamBroken)


@pytest.mark.parametrize("piece", [b": keep-alive\n\n", b"\n", b"id: 1\n\n"])
async def test_t_72_a_stream_of_nothing_is_cut_long_before_it_is_large(servers, piece, era):
    """What is read of it, and so what it costs, has a bound of its own."""
    sent = 0

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(STREAM)
        while not writer.is_closing():
            writer.write(chunk(piece * 100))
            sent += 100 * len(piece)
            await writer.drain()
            await asyncio.sleep(0.001)

    assert "says nothing" in str(await refusal(servers, era, respond))
    assert sent < 2**20


async def test_t_72_a_flood_of_events_is_cut(servers, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        while not writer.is_closing():
            writer.write(event({"jsonrpc": "2.0", "method": "notifications/x"}) * 100)
            await writer.drain()

    assert isinstance(await refusal(servers, era, respond), UpstreamBroken)


@pytest.mark.parametrize(
    "piece", [chunk(b":\n" * 500), event({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}) * 100]
)
async def test_t_72_a_stream_of_changes_that_does_not_stop_is_left(servers, piece, era):
    left = asyncio.Event()

    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
        if asked.method == "initialize":
            info = {"name": "s", "version": "1"}
            return http(result(asked, {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info}))
        if asked.body and asked.method != "subscriptions/listen":
            return http(b"", "202 Accepted")
        writer.write(STREAM)
        with suppress(ConnectionError):
            while True:
                writer.write(piece)
                await writer.drain()
        left.set()
        return None

    async with raw_server(endless) as server:
        upstream = server.upstream(era, capabilities={"tools": {"listChanged": True}})
        events = servers.events(upstream, None, frozenset(), None)
        listening = asyncio.ensure_future(_hear(events))
        await within(left.wait(), 20)
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def _hear(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


async def test_t_73_a_late_answer_reaches_nobody(era):
    """The deadline passes, the answer comes; the next call gets its own."""
    late = asyncio.Event()

    connections: list[int] = []

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        connections.append(asked.connection)
        if len(connections) == 1:
            await late.wait()
        return http(result(asked, {"resultType": "complete", "which": len(connections)}))

    rendezvous = MemoryRendezvous()
    servers = Servers(Vault({"1": os.urandom(32)}), rendezvous, Terms(0.5, 2.0, MIB), 16 * MIB)
    async with raw_server(met(era, respond)) as server:
        with pytest.raises(UpstreamSlow):
            await call(servers, server.upstream(era))
        late.set()
        assert json.loads((await call(servers, server.upstream(era))).result)["which"] == 2
        assert connections[0] != connections[1]
    await servers.close()
    assert servers.in_flight == 0


GARBAGE = {
    "html": http(f"<html>{SECRET}</html>".encode(), kind="text/html"),
    "html called json": http(f"<html>{SECRET}</html>".encode()),
    "half json": http(b'{"jsonrpc":"2.0","id":1,"result":{"a":'),
    "invalid utf-8": http(b'{"jsonrpc":"2.0","id":1,"result":{"a":"\xff\xfe"}}'),
    "empty": http(b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "accepted": http(b"", "202 Accepted"),
    "500": http(SECRET.encode(), "500 Internal Server Error", "text/plain"),
    "500 in json-rpc": http(
        json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": SECRET}}).encode(), "500 No"
    ),
    "401": http(SECRET.encode(), "401 Unauthorized", extra=f'WWW-Authenticate: Bearer realm="{SECRET}"\r\n'),
    "403": http(SECRET.encode(), "403 Forbidden"),
    "no type": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "an array": http(b"[]"),
    "a number": http(b"7"),
    "nan": http(b'{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}'),
    "deep": http(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "stream of garbage": STREAM + chunk(b"data: {{{\n\n") + LAST,
    "stream without an answer": STREAM + LAST,
    "interim for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 50,
}


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE.keys())
async def test_t_74_what_is_no_answer_is_refused_in_our_own_words(servers, answer, era):
    assert isinstance(await refusal(servers, era, saying(answer)), UpstreamBroken)


WRONG = {
    "another id": lambda n: {"id": n + 1, "result": {}},
    "the id as a string": lambda n: {"id": str(n), "result": {}},
    "the id as a float": lambda n: {"id": float(n), "result": {}},
    "no id": lambda n: {"result": {}},
    "null": lambda n: {"id": None, "result": {}},
    "result and error": lambda n: {"id": n, "result": {}, "error": {"code": 1, "message": SECRET}},
    "neither": lambda n: {"id": n},
    "a request": lambda n: {"id": n, "method": "tools/call", "params": {}},
    "a notification": lambda n: {"method": "notifications/progress", "params": {}},
    "a result that is no object": lambda n: {"id": n, "result": [1]},
    "an error that is none": lambda n: {"id": n, "error": SECRET},
    "an error without a code": lambda n: {"id": n, "error": {"message": SECRET}},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("streamed", [False, True])
async def test_t_75_an_answer_to_something_else_is_none(servers, wrong, streamed, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        message = {"jsonrpc": "2.0", **wrong(asked.message["id"])}
        return STREAM + event(message) + LAST if streamed else http(json.dumps(message).encode())

    assert isinstance(await refusal(servers, era, respond), UpstreamBroken)


async def test_t_75_answers_swapped_between_callers_reach_neither(servers, era):
    waiting: list[tuple[Asked, asyncio.StreamWriter]] = []

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> None:
        waiting.append((asked, writer))
        if len(waiting) == 2:
            (one, first), (two, second) = waiting
            first.write(http(result(two)))
            second.write(http(result(one)))

    async with raw_server(met(era, respond)) as server:
        upstream = server.upstream(era)
        both = await asyncio.gather(call(servers, upstream), call(servers, upstream), return_exceptions=True)
    assert all(isinstance(one, UpstreamBroken) for one in both)


async def test_t_75_of_two_results_the_first_counts(servers, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        first = result(asked, {"resultType": "complete", "which": 1})
        return STREAM + event(first) + event(result(asked, {"resultType": "complete", "which": 2})) + LAST

    async with raw_server(met(era, respond)) as server:
        for _ in range(2):
            assert json.loads((await call(servers, server.upstream(era))).result)["which"] == 1


def big_zip() -> bytes:
    return gzip.compress(b'{"a":"' + b" " * (64 * MIB) + b'"}')


async def chunk_flood(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1\r\nx\r\n" * 10_000)
        await writer.drain()


async def too_large(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


async def endless_head(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX-A: ")
    while not writer.is_closing():
        writer.write(b"x" * 65536)
        await writer.drain()


HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n"
BOMBS: dict[str, Respond] = {
    "gzip": saying(http(big_zip(), extra="Content-Encoding: gzip\r\n")),
    "headers": saying(HEADERS),
    "trailers": saying(
        STREAM.replace(b"text/event-stream", b"application/json") + b"0\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n"
    ),
    "chunks": chunk_flood,
    "bytes": too_large,
    "head": endless_head,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_t_76_bombs_are_cut_while_they_are_small(servers, bomb, era):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert isinstance(await refusal(servers, era, bomb), UpstreamBroken)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 64 * 1024  # KiB


async def test_t_77_a_server_that_fails_is_left_alone_and_comes_back(servers, clock, era):
    well = False

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked)) if well else http(b"", "500 No")

    async def healthy(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked))

    async with raw_server(met(era, respond)) as server, raw_server(met(era, healthy)) as other:
        for _ in range(20):
            with pytest.raises(UpstreamBroken):
                await call(servers, server.upstream(era))
        for _ in range(5):
            with pytest.raises(UpstreamBusy) as busy:
                await call(servers, server.upstream(era))
            assert 1 <= busy.value.retry_after <= 10
        assert len(server.asked_for("tools/call")) == 20
        assert (await call(servers, other.upstream(era, slug="other"))).result
        clock.skipped, well = 11.0, True
        await call(servers, server.upstream(era))
        await call(servers, server.upstream(era))
        assert len(server.asked_for("tools/call")) == 22


async def test_t_77_one_call_at_a_time_looks_whether_a_server_is_back(servers, clock, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "500 No")

    async with raw_server(met(era, respond)) as server:
        upstream = server.upstream(era)
        await asyncio.gather(*(call(servers, upstream) for _ in range(20)), return_exceptions=True)
        clock.skipped = 11.0
        said = await asyncio.gather(*(call(servers, upstream) for _ in range(10)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in said) == ["UpstreamBroken"] + ["UpstreamBusy"] * 9


async def test_t_77_those_who_come_late_do_not_keep_a_server_from_being_looked_at(servers, clock, era):
    """Calls that began before it was left alone fail long after: that moves no probe."""
    arrived, fail = asyncio.Semaphore(0), asyncio.Event()

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if len(server.asked_for("tools/call")) <= 5:
            arrived.release()
            await fail.wait()
        return http(b"", "500 No")

    async with raw_server(met(era, respond)) as server:
        upstream = server.upstream(era)
        late = [asyncio.create_task(call(servers, upstream)) for _ in range(5)]
        for _ in late:
            await within(arrived.acquire(), 20)
        await asyncio.gather(*(call(servers, upstream) for _ in range(20)), return_exceptions=True)
        clock.skipped = 9.5
        fail.set()
        await asyncio.gather(*late, return_exceptions=True)
        clock.skipped = 11.0
        with pytest.raises(UpstreamBroken):
            await call(servers, upstream)


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "422 No"])
async def test_t_77_an_answer_that_says_no_shows_that_the_server_is_there(servers, clock, era, status):
    """Nobody's refused call takes a server away from the others, and one that says no is back."""
    down = True

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "500 No") if down else http(b"", status)

    async with raw_server(met(era, respond)) as server:
        upstream = server.upstream(era)
        for _ in range(20):
            with pytest.raises(UpstreamBroken):
                await call(servers, upstream)
        with pytest.raises(UpstreamBusy):
            await call(servers, upstream)
        clock.skipped, down = 11.0, False
        for _ in range(25):
            with pytest.raises(UpstreamBroken):
                await call(servers, upstream)
        assert len(server.asked_for("tools/call")) == 45


async def test_t_77_calls_to_others_cost_what_they_cost_while_one_is_left_alone(servers, era):
    """Counted, not timed: the same requests on the same connection, and none to the one that is left alone."""

    async def broken(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"", "500 No")

    async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked))

    async with raw_server(met(era, broken)) as bad, raw_server(met(era, well)) as good:
        other = good.upstream(era, slug="other")
        for _ in range(20):
            with pytest.raises(UpstreamBroken):
                await call(servers, bad.upstream(era))
        await call(servers, other)
        before, connections, asked = len(bad.asked), good.connections, len(good.asked)
        for _ in range(100):
            with pytest.raises(UpstreamBusy):
                await call(servers, bad.upstream(era))
            await call(servers, other)
        assert len(bad.asked) == before
        assert (good.connections, len(good.asked)) == (connections, asked + 100)


async def test_t_74_a_refused_credential_is_the_administrators_matter_and_trips_nothing(servers, era):
    async with raw_server(met(era, saying(http(b"", "401 No")))) as server:
        for _ in range(25):
            with pytest.raises(UpstreamBroken, match="administrator must mend"):
                await call(servers, server.upstream(era))


@pytest.mark.parametrize("era", list(Era))
async def test_t_53_answers_of_two_people_are_never_exchanged(servers, era):
    """Ids, names and arguments alike; each answer carries who asked, as the server saw it."""

    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.method == "initialize":
            value = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}
            return http(result(asked, value), extra=f"Mcp-Session-Id: {os.urandom(8).hex()}\r\n")
        if "id" not in asked.message:
            return http(b"", "202 Accepted")
        await asyncio.sleep(0)
        marker = asked.message["params"]["arguments"]["who"]
        session = asked.headers.get("mcp-session-id", "")
        return http(result(asked, {"resultType": "complete", "who": marker, "session": session}))

    seen: dict[str, set[str]] = {"a": set(), "b": set()}

    async def one(who: str, upstream: object) -> None:
        ask = Ask(method="tools/call", params={"arguments": b'{"who":"%s"}' % who.encode()}, principal=principal(who))
        answer = json.loads((await servers.send(upstream, ask, Nobody(), None)).result)  # type: ignore[arg-type]
        assert answer["who"] == who
        seen[who].add(answer["session"])

    async with raw_server(respond) as server:
        upstream = server.upstream(era)
        for _ in range(25):
            await asyncio.gather(*(one(who, upstream) for who in "abab" * 5))
    if era is Era.LEGACY:
        assert len(seen["a"]) == len(seen["b"]) == 1
        assert seen["a"] != seen["b"]


async def test_t_67_an_error_of_the_server_comes_as_it_is_when_it_is_an_answer(servers, era):
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(error(asked, -32602, data={"x": 1}), "400 Bad Request")

    async with raw_server(met(era, respond)) as server:
        answer = await call(servers, server.upstream(era))
        assert json.loads(answer.error) == {"code": -32602, "message": "no", "data": {"x": 1}}
