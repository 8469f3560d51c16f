"""T-49 and T-72 to T-75 where all asks share one channel: a process of ours, or a stream of HTTP+SSE."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.egress.reply import Terms
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import UpstreamBroken, UpstreamSlow
from gateway.upstream.connections import Servers
from registry.catalogue import Credential
from registry.secrets.vault import Vault
from registry.tables import Auth, Era, Transport
from tests.fakes.servers.channels import MIB, alive, call, text_of, until, workers
from tests.fakes.servers.raw import STREAM, Asked, chunk, http, raw_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.fakes.servers.channels import Processes

SECRET = "Bearer s3cr3t"


@pytest.fixture
async def processes(tmp_path: Path) -> AsyncIterator[Callable[..., Processes]]:
    async with workers(tmp_path) as make:
        yield make


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    rendezvous = MemoryRendezvous()
    one = Servers(Vault({"1": b"k" * 32}), rendezvous, Terms(2.0, 4.0, MIB), 16 * MIB)
    yield one
    await one.close()
    assert one.in_flight == 0
    await rendezvous.close()


@pytest.mark.parametrize("tool", ["garbage", "endless", "other"])
async def test_t_72_t_74_t_75_what_is_no_answer_ends_the_process_and_tells_nothing_of_it(
    processes: Callable[..., Processes], tool: str
) -> None:
    process = processes(sandbox="off")
    await process.call("echo", text="x")
    ((_, talk),) = process.engine()._opened._talks.values()
    with pytest.raises(UpstreamBroken) as broken:
        await process.call(tool)
    assert "this is no JSON" not in str(broken.value)
    await until(lambda: not alive([talk.wire.pid]))


async def test_t_75_one_persons_garbage_is_nothing_to_another(processes: Callable[..., Processes]) -> None:
    process = processes(sandbox="off")
    slow = asyncio.ensure_future(process.call("sleep", "bob", seconds=0.5))
    await asyncio.sleep(0)
    with pytest.raises(UpstreamBroken):
        await process.call("garbage", "ann")
    await slow


async def test_t_73_a_late_answer_is_dropped_and_the_next_ask_gets_its_own(processes: Callable[..., Processes]) -> None:
    process = processes(Era.LEGACY, Terms(1.0, 2.0, MIB), sandbox="off")
    await process.call("echo", text="x")
    with pytest.raises(UpstreamSlow):
        await process.call("sleep", seconds=1.5)
    for number in range(20):
        assert await process.call("echo", text=str(number)) == str(number)
        await asyncio.sleep(0.05)


async def test_t_75_many_people_on_one_shared_process_get_their_own(processes: Callable[..., Processes]) -> None:
    process = processes(sandbox="off", per="server")
    who = [f"person-{number}" for number in range(50)]
    said = await asyncio.gather(*(process.call("echo", one, text=f"marker of {one}") for one in who))
    assert said == [f"marker of {one}" for one in who]


async def test_t_53_each_account_has_a_process_of_its_own_and_sees_no_others_secret(
    processes: Callable[..., Processes],
) -> None:
    process = processes(sandbox="off", credential="TOKEN")

    async def seen(number: int) -> str:
        who = f"person-{number % 6}"
        credential = Credential("piped", "stdio:piped", b"x-key", f"token-of-{who}".encode(), subject=who)
        answer = await process.servers.send(process.upstream, call("environment", who), Nobody(), credential)
        return str(json.loads(text_of(answer))["TOKEN"])

    assert await asyncio.gather(*map(seen, range(60))) == [f"token-of-person-{number % 6}" for number in range(60)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        '{"jsonrpc":"2.0","method":"x"}',
        '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}',
        '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}',
        '{"jsonrpc":"2.0","id":1,"method":"ping"}',
    ],
)
async def test_t_72_what_nobody_asked_for_ends_the_process_that_does_not_stop(
    processes: Callable[..., Processes], line: str
) -> None:
    process = processes(sandbox="off")
    await process.call("babble", line=line)
    ((_, talk),) = process.engine()._opened._talks.values()
    await until(lambda: not alive([talk.wire.pid]))
    assert talk.fault is not None


async def test_t_72_a_flood_of_progress_ends_the_ask_alone(processes: Callable[..., Processes]) -> None:
    process = processes(sandbox="off")
    ask = call("flood")
    ask.progress = True
    with pytest.raises(UpstreamBroken, match="too much"):
        await process.servers.send(process.upstream, ask, Nobody(), None)
    assert text_of(await process.servers.send(process.upstream, call("echo", text="x"), Nobody(), None)) == "x"


class Nobody:
    async def notify(self, method: str, params: bytes) -> None:
        pass

    def refuses(self, method: str, params: bytes) -> str:  # the seam's signature
        return ""

    async def request(self, method: str, params: bytes) -> bytes:
        raise AssertionError("nobody may be asked")


def told(endpoint: str) -> Callable[[Asked, asyncio.StreamWriter], Any]:
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.line.startswith("GET"):
            writer.write(STREAM)
            return chunk(f"event: endpoint\ndata: {endpoint}\n\n".encode())
        return http(b"", "202 Accepted")

    return respond


@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{}/", "//127.0.0.1:{}/x", "http://localhost:{}/", "\\\\127.0.0.1:{}/"]
)
async def test_t_49_a_stream_that_leads_to_another_origin_gets_no_credential_there(servers: Servers, form: str) -> None:
    async with raw_server(told("/")) as other, raw_server(told(form.format(other.port))) as server:
        upstream = server.upstream(Era.LEGACY, transport=Transport.SSE, auth=Auth.STATIC)
        credential = Credential("raw", f"http://127.0.0.1:{server.port}", b"authorization", SECRET.encode())
        with pytest.raises(UpstreamBroken, match=r"another origin|no address"):
            await servers.send(upstream, call("t"), Nobody(), credential)
        assert not other.asked


@pytest.mark.parametrize(
    "form", ["file:///etc/passwd", "javascript:x", "ftp://127.0.0.1/", "http://u:p@127.0.0.1/", "ünï"]
)
async def test_t_49_a_stream_that_leads_nowhere_is_broken(servers: Servers, form: str) -> None:
    async with raw_server(told(form)) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(server.upstream(Era.LEGACY, transport=Transport.SSE), call("t"), Nobody(), None)


@pytest.mark.parametrize("said", [b"no JSON", b'{"jsonrpc":"2.0","id":12345,"result":{}}', b"[]", b'{"id":"\xff"}'])
async def test_t_74_t_75_what_is_no_answer_ends_the_stream(servers: Servers, said: bytes) -> None:
    fake = Answering(said)
    async with raw_server(fake) as server:
        with pytest.raises(UpstreamBroken):
            await servers.send(server.upstream(Era.LEGACY, transport=Transport.SSE), call("t"), Nobody(), None)


async def test_t_72_an_event_that_never_ends_is_cut(servers: Servers) -> None:
    fake = Answering(b"x" * (2 * MIB))
    async with raw_server(fake) as server:
        with pytest.raises(UpstreamBroken, match="too large"):
            await servers.send(server.upstream(Era.LEGACY, transport=Transport.SSE), call("t"), Nobody(), None)


class Answering:
    """Shakes hands over HTTP+SSE and answers everything else with the same bytes."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.stream: asyncio.StreamWriter | None = None

    async def __call__(self, asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        if asked.line.startswith("GET"):
            self.stream = writer
            writer.write(STREAM)
            return chunk(b"event: endpoint\ndata: /m\n\n")
        if "id" in asked.message:
            value = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {}}
            shaken = json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": value}).encode()
            assert self.stream is not None
            self.stream.write(chunk(b"data: " + (shaken if asked.method == "initialize" else self.said) + b"\n\n"))
        return http(b"", "202 Accepted")
