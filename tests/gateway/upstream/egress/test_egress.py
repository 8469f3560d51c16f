"""The data plane's HTTP client, against servers that misbehave on the wire."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from gateway.egress.tls import common
from gateway.upstream import Ask, UpstreamBroken, UpstreamBusy, UpstreamSlow, UpstreamUnreachable
from gateway.upstream.messages import CredentialRefused
from registry.catalogue import Credential
from registry.tables import Auth
from tests.fakes.deadlines import within
from tests.fakes.door import eventually
from tests.fakes.network.certificates import make_certificate
from tests.fakes.network.names import resolving
from tests.fakes.servers.raw import LAST, STREAM, Asked, chunk, event, http, principal, raw_server, result

CALL = Ask(method="tools/call", name="t", params={"name": b'"t"'}, principal=None)
LIST = Ask(method="tools/list", principal=None)


async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    return http(result(asked))


async def test_calls_one_after_the_other_share_a_connection(servers, caller):
    async with raw_server(well) as server:
        for _ in range(5):
            await servers.send(server.upstream(), CALL, caller, None)
        assert server.connections == 1


async def test_calls_at_the_same_time_have_a_connection_each(servers, caller):
    async with raw_server(well) as server:
        await asyncio.gather(*(servers.send(server.upstream(), CALL, caller, None) for _ in range(8)))
        assert server.connections == 8


async def test_the_request_line_and_host_are_those_of_the_registration(servers, caller):
    async with raw_server(well) as server:
        odd = Ask(method="resources/read", name="../x?y\r\nX-Evil: 1", params={"uri": b'"../x?y"'}, principal=None)
        await servers.send(server.upstream(), odd, caller, None)
        head = server.asked[0]
        assert head.line == "POST /mcp HTTP/1.1"
        assert head.headers["host"] == f"127.0.0.1:{server.port}"
        assert "x-evil" not in head.headers
        assert head.headers["accept-encoding"] == "identity"


async def test_a_header_of_the_caller_with_a_line_break_is_not_sent(servers, caller):
    async with raw_server(well) as server:
        bad = Ask(method="tools/call", param_headers=((b"Mcp-Param-A", b"1\r\nX: 2"),), principal=None)
        with pytest.raises(UpstreamBroken, match="nothing was sent"):
            await servers.send(server.upstream(), bad, caller, None)
        assert not server.asked


async def test_a_connection_closed_while_idle_is_not_used_again(servers, caller):
    async def once(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(result(asked)))
        await writer.drain()
        writer.close()

    async with raw_server(once) as server:
        for _ in range(3):
            await servers.send(server.upstream(), CALL, caller, None)
            await within(server.hung_up.wait(), 20)
            server.hung_up.clear()
            await asyncio.sleep(0.01)  # a moment for the news to arrive
        assert len(server.asked) == server.connections == 3


async def dying_on_the_second(asked: Asked, writer: asyncio.StreamWriter) -> bytes | None:
    first = not getattr(writer, "used", False)
    writer.used = True  # type: ignore[attr-defined]
    if first:
        return http(result(asked))
    writer.close()
    return None


async def test_a_list_is_asked_for_again_when_a_kept_connection_was_dead(servers, caller):
    async with raw_server(dying_on_the_second) as server:
        for _ in range(2):
            assert (await servers.send(server.upstream(), LIST, caller, None)).result
        assert [asked.connection for asked in server.asked] == [1, 1, 2]


async def test_a_tool_is_never_called_twice_for_one_call(servers, caller):
    async with raw_server(dying_on_the_second) as server:
        await servers.send(server.upstream(), CALL, caller, None)
        with pytest.raises(UpstreamBroken, match="may have been carried out"):
            await servers.send(server.upstream(), CALL, caller, None)
        assert len(server.asked) == 2


async def test_bytes_that_nobody_asked_for_reach_nobody(servers, caller):
    async def chatty(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked)) + http(b'{"jsonrpc":"2.0","id":1,"result":{"stolen":true}}')

    async with raw_server(chatty) as server:
        for _ in range(3):
            answer = await servers.send(server.upstream(), CALL, caller, None)
            assert b"stolen" not in answer.result
        assert server.connections == 3


async def test_an_interim_answer_is_passed_over(servers, caller):
    async def hinting(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + http(result(asked))

    async with raw_server(hinting) as server:
        assert (await servers.send(server.upstream(), CALL, caller, None)).result


async def test_an_answer_without_a_length_ends_with_its_connection(servers, caller):
    async def old(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + result(asked))
        writer.close()

    async with raw_server(old) as server:
        assert (await servers.send(server.upstream(), CALL, caller, None)).result


async def test_a_stream_leaves_its_connection_good(servers, caller):
    async def streaming(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return STREAM + event(result(asked)) + LAST

    async with raw_server(streaming) as server:
        for _ in range(3):
            await servers.send(server.upstream(), CALL, caller, None)
        assert server.connections == 1


async def test_a_stream_whose_end_comes_a_moment_after_its_answer_leaves_its_connection_good(servers, caller):
    ended = asyncio.Event()

    async def streaming(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        writer.write(STREAM + event(result(asked)))
        await writer.drain()
        await ended.wait()
        return LAST

    async with raw_server(streaming) as server:
        for number in range(1, 4):
            ended.clear()
            await servers.send(server.upstream(), CALL, caller, None)
            ended.set()
            await eventually(lambda: any(servers._egress._idle.values()))
            assert len(server.asked) == number
        assert server.connections == 1


@pytest.mark.parametrize(("host", "good"), [("files.example", True), ("other.example", False)])
async def test_tls_is_checked_against_the_name_although_the_address_is_pinned(
    servers, caller, monkeypatch, tmp_path, host, good
):
    trusted, tls = make_certificate(tmp_path, "files.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    common.cache_clear()  # whoever reached a server over TLS before has made it from other authorities
    async with raw_server(well, tls) as server:
        resolving(monkeypatch, files=[["127.0.0.1"]], other=[["127.0.0.1"]])
        upstream = server.upstream(scheme="https", host=host)
        if good:
            for _ in range(2):
                await servers.send(upstream, CALL, caller, None)
            assert server.asked[0].headers["host"] == f"files.example:{server.port}"
            assert server.connections == 1
        else:
            with pytest.raises(UpstreamUnreachable):
                await servers.send(upstream, CALL, caller, None)
            assert not server.asked


async def test_a_server_that_hangs_up_at_once_is_no_silence(servers, caller):
    hang_up = await asyncio.start_server(lambda _reader, writer: writer.transport.abort(), "127.0.0.1", 0)
    async with raw_server(well) as server:
        server.port = hang_up.sockets[0].getsockname()[1]
        for _ in range(5):
            with pytest.raises((UpstreamBroken, UpstreamUnreachable)):
                await within(servers.send(server.upstream(), CALL, caller, None), 2)
    hang_up.close()


async def test_a_server_that_is_not_there_is_unreachable(servers, caller):
    async with raw_server(well) as server:
        gone = server.upstream()
    with pytest.raises(UpstreamUnreachable, match="nothing was sent"):
        await servers.send(gone, CALL, caller, None)


def secret(server: str, origin: str) -> Credential:
    return Credential(server, origin, b"Authorization", b"Bearer s3cret")


async def test_the_credential_goes_to_its_server(servers, caller):
    async with raw_server(well) as server:
        held = secret("raw", f"http://127.0.0.1:{server.port}")
        await servers.send(server.upstream(), CALL, caller, held)
        assert server.asked[0].headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(("slug", "port"), [("other", 0), ("raw", 1)])
async def test_the_credential_goes_to_no_other_server_or_origin(servers, caller, slug, port):
    async with raw_server(well) as server:
        held = secret(slug, f"http://127.0.0.1:{server.port + port}")
        with pytest.raises(UpstreamUnreachable, match="register it again"):
            await servers.send(server.upstream(), CALL, caller, held)
        assert not server.asked


async def test_silence_ends_a_call(make_servers, caller):
    async def mute(asked: Asked, writer: asyncio.StreamWriter) -> None:
        return None

    servers = make_servers(silence=0.1)
    async with raw_server(mute) as server:
        with pytest.raises(UpstreamSlow):
            await servers.send(server.upstream(), CALL, caller, None)
        await within(server.hung_up.wait(), 20)


async def test_progress_is_no_silence_but_has_an_end(make_servers, caller):
    """Longer than the silence that is allowed, and cut at the limit all the same."""

    async def busy(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        for step in range(1000):
            params = {"progressToken": asked.message["id"], "progress": step}
            writer.write(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))
            await writer.drain()
            await asyncio.sleep(0.02)

    servers = make_servers(silence=0.3, total=1.5)
    async with raw_server(busy) as server:
        ask = Ask(method="tools/call", principal=None, progress=True)
        with pytest.raises(UpstreamSlow):
            await servers.send(server.upstream(), ask, caller, None)
    assert len(caller.heard) > 15


async def test_giving_up_closes_the_connection_of_a_modern_server(servers, caller):
    arrived = asyncio.Event()

    async def mute(asked: Asked, writer: asyncio.StreamWriter) -> None:
        arrived.set()

    async with raw_server(mute) as server:
        call = asyncio.create_task(servers.send(server.upstream(), CALL, caller, None))
        await within(arrived.wait(), 20)
        call.cancel()
        await within(server.hung_up.wait(), 20)
        with pytest.raises(asyncio.CancelledError):
            await call
        assert servers.in_flight == 0


async def test_a_full_budget_refuses_a_call_before_it_leaves(make_servers, caller):
    arrived, leave = asyncio.Event(), asyncio.Event()

    async def slow(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        arrived.set()
        await leave.wait()
        return http(result(asked))

    servers = make_servers(in_flight=3000)
    big = Ask(method="tools/call", params={"arguments": b'"%s"' % (b"x" * 2000)}, principal=None)
    async with raw_server(slow) as server:
        first = asyncio.create_task(servers.send(server.upstream(), big, caller, None))
        await within(arrived.wait(), 20)
        with pytest.raises(UpstreamBusy) as busy:
            await servers.send(server.upstream(), big, caller, None)
        assert busy.value.retry_after >= 1
        leave.set()
        await first
        assert len(server.asked) == 1
        await servers.send(server.upstream(), big, caller, None)


async def test_answers_beyond_the_budget_are_cut(make_servers, caller):
    async def wide(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked, {"content": [], "pad": "x" * 5000}))

    servers = make_servers(in_flight=3000)
    async with raw_server(wide) as server:
        with pytest.raises(UpstreamBusy):
            await servers.send(server.upstream(), CALL, caller, None)
        assert servers.in_flight == 0


async def test_an_unread_stream_is_not_read_from_the_server(servers):
    """The one who hears it is slow: memory stays bounded, and everything arrives in the end."""
    total = 40
    pause = asyncio.Event()

    class Slow:
        heard = 0

        async def notify(self, method: str, params: bytes) -> None:
            await pause.wait()
            self.heard += 1

    async def pouring(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        note = {"progressToken": asked.message["id"], "progress": 1, "message": "x" * 20_000}
        for _ in range(total):
            writer.write(event({"jsonrpc": "2.0", "method": "notifications/progress", "params": note}))
        writer.write(event(result(asked)) + LAST)
        await writer.drain()

    async with raw_server(pouring) as server:
        slow = Slow()
        ask = Ask(method="tools/call", principal=None, progress=True)
        call = asyncio.create_task(servers.send(server.upstream(), ask, slow, None))  # type: ignore[arg-type]
        await asyncio.sleep(0.2)
        assert servers.in_flight < 700_000
        pause.set()
        await call
        assert slow.heard == total


async def test_pieces_of_a_body_are_put_together(servers, caller):
    async def chunked(asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = result(asked, {"resultType": "complete", "text": "äöü" * 50})
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for start in range(0, len(body), 7):
            writer.write(chunk(body[start : start + 7]))
            await writer.drain()
        writer.write(LAST)

    async with raw_server(chunked) as server:
        answer = await servers.send(server.upstream(), CALL, caller, None)
        assert "äöü".encode() in answer.result or b"\\u00e4" in answer.result


async def test_nothing_is_sent_without_the_credential_that_a_server_wants(servers, caller):
    async with raw_server(well) as server:
        wanting = replace(server.upstream(), auth=Auth.STATIC)
        with pytest.raises(CredentialRefused):
            await servers.send(wanting, structs.replace(CALL, principal=principal("alice")), caller, None)
        assert not server.asked
