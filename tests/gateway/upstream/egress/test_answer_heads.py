"""A head of an answer that came before need not be parsed again, and nothing else is any different for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.egress import heads
from gateway.egress.connection import Connection
from gateway.upstream import Ask, UpstreamBroken
from gateway.upstream.messages import CredentialRefused
from tests.fakes.door import eventually
from tests.fakes.servers.raw import LAST, STREAM, Asked, chunk, event, http, raw_server, result

if TYPE_CHECKING:
    import asyncio

CALL = Ask(method="tools/call", name="t", params={"name": b'"t"'}, principal=None)


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    heads.known.clear()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The status of every answer that was parsed."""
    seen: list[int] = []
    plain = Connection.on_headers_complete

    def noting(self: Connection) -> None:
        seen.append(self._parser.get_status_code())
        plain(self)

    monkeypatch.setattr(Connection, "on_headers_complete", noting)
    return seen


def same_length(asked: Asked) -> bytes:
    return result(asked).ljust(200)


async def test_a_head_that_comes_again_is_parsed_once(servers, caller, parsed):
    async def padded(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(same_length(asked))

    async with raw_server(padded) as server:
        for _ in range(3):
            assert (await servers.send(server.upstream(), CALL, caller, None)).result
        assert server.connections == 1
    assert parsed == [200]


async def test_what_comes_after_a_known_answer_reaches_nobody(servers, caller):
    extra = [b"", b"", http(b'{"jsonrpc":"2.0","id":1,"result":{"stolen":true}}'), b""]

    async def chatty(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(same_length(asked)) + extra.pop(0)

    async with raw_server(chatty) as server:
        for _ in range(4):
            assert b"stolen" not in (await servers.send(server.upstream(), CALL, caller, None)).result
        assert server.connections == 2


async def test_a_known_head_whose_body_comes_later_is_parsed_like_any(servers, caller, parsed):
    async def slowly(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        whole = http(same_length(asked))
        if parsed:
            writer.write(whole[:-20])
            await writer.drain()
            await eventually(lambda: len(parsed) == 2)
            return whole[-20:]
        return whole

    async with raw_server(slowly) as server:
        for _ in range(2):
            assert (await servers.send(server.upstream(), CALL, caller, None)).result
    assert parsed == [200, 200]


async def test_a_known_answer_is_held_to_the_limit_like_any(make_servers, caller):
    async def padded(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(result(asked).ljust(5000))

    async with raw_server(padded) as server:
        assert (await make_servers().send(server.upstream(), CALL, caller, None)).result
        assert len(heads.known) == 1
        with pytest.raises(UpstreamBroken, match="too large"):
            await make_servers(size=4000).send(server.upstream(), CALL, caller, None)


async def test_a_refusal_says_the_same_when_its_head_is_known(servers, caller, parsed):
    async def refusing(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return http(b"{}", "401 Unauthorized", extra='WWW-Authenticate: Bearer scope="a"\r\n')

    async with raw_server(refusing) as server:
        for _ in range(2):
            with pytest.raises(CredentialRefused) as refused:
                await servers.send(server.upstream(), CALL, caller, None)
            assert (refused.value.status, refused.value.challenge) == (401, b'Bearer scope="a"')
    assert parsed == [401]


async def test_heads_whose_length_hangs_on_more_than_themselves_are_not_kept(servers, caller):
    async def chunked(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head + chunk(result(asked)) + LAST

    async def streaming(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return STREAM + chunk(event(result(asked))) + LAST

    for respond in (chunked, streaming):
        async with raw_server(respond) as server:
            assert (await servers.send(server.upstream(), CALL, caller, None)).result
    assert not len(heads.known)
