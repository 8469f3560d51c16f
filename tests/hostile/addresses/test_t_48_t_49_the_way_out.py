"""T-48 and T-49 on the wire: what leaves for a server is what was registered, and goes nowhere else."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gateway.portal.headers import encode
from tests.fakes.door import Line, modern
from tests.fakes.furnished import allow, door_of, furnish, minted
from tests.fakes.servers.raw import LAST, STREAM, Asked, RawServer, event, http, raw_server, result
from tests.gateway.oauth.house import House

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = "canary-credential-5b1e"
CREDENTIAL = f"Authorization: Bearer {SECRET}".encode()
HOSTILE = [
    "../../admin", "%2e%2e%2fadmin", "%2f", "?x=1", "#f", "@evil.example", "//evil.example/mcp", "http://evil.example/",
    "a\r\nX-Evil: 1", "a\r\n\r\nGET /admin HTTP/1.1\r\nHost: evil.example\r\n\r\n", "a\nHost: evil.example", "\x00",
    "Authorization: Bearer x", "=?base64?DQpYLUV2aWw6IDE=?=", "\u010d\u010aX-Evil: 1", "\u2028", "é" * 3000,
]  # fmt: skip
UNASKED = [
    ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-For", "127.0.0.1"), ("X-Original-URL", "/admin"),
    ("X-Rewrite-Url", "/admin"), ("Forwarded", "host=evil.example"), ("Cookie", "session=1"), ("X-Evil", "1"),
    ("User-Agent", "evil"), ("Referer", "http://evil.example/"), ("Mcp-Session-Id", "theirs"), ("Via", "1.1 evil"),
    ("Proxy-Authorization", "Basic eDp5"), ("X-HTTP-Method-Override", "DELETE"), ("Last-Event-ID", "1"),
]  # fmt: skip
VARIES = {"content-length"}  # with the body


@dataclass
class Out:
    """A house with one server, and a client of it."""

    house: House
    token: str

    async def call(self, arguments: dict[str, str], name: str = "files_t", more: list[tuple[str, str]] = []) -> bytes:  # noqa: B006
        headers, body = modern(self.token, "tools/call", {"name": name, "arguments": arguments})
        headers = [each for each in headers if each[0] != "Mcp-Name"] + [("Mcp-Name", encode(name).decode()), *more]
        async with Line(door_of(self.house)) as line:
            return (await line.ask("POST", "/mcp", headers, body)).body


@contextlib.asynccontextmanager
async def out_to(server: RawServer, data: Path) -> AsyncIterator[Out]:
    house = House(data)
    person, client = house.person(), house.client()
    furnish(house, "files", server.url, "t", header=CREDENTIAL)
    allow(house, person, "files.*")
    with house:
        yield Out(house, minted(house, person, client))


async def well(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
    return http(result(asked))


def head_of(asked: Asked) -> list[str]:
    lines = asked.head.decode("latin-1").split("\r\n")
    return [line for line in lines if line.partition(":")[0].lower() not in VARIES]


async def test_t_48_whatever_a_caller_says_the_request_line_and_headers_stay_those_of_the_registration(
    tmp_path: Path,
) -> None:
    async with raw_server(well) as server, out_to(server, tmp_path) as out:
        await out.call({})
        expected = head_of(server.asked[0])
        assert expected[0] == "POST /mcp HTTP/1.1"
        assert expected.count(CREDENTIAL.decode()) + expected.count(CREDENTIAL.decode().lower()) <= 1
        for text in HOSTILE:
            await out.call({"text": text, text: "key"})
            await out.call({}, more=UNASKED)
            await out.call({}, name=text)
            await out.call({}, name=f"files_{text}")
        assert len(server.asked) == 1 + 2 * len(HOSTILE), "no name but the right one reaches the server"
        assert [head_of(asked) for asked in server.asked] == [expected] * len(server.asked)
        assert server.asked[-1].headers["authorization"] == f"Bearer {SECRET}"


def lures(other: str, asked: Asked) -> dict[str, bytes]:
    """Answers in which a server points elsewhere."""
    link = {"resultType": "complete", "content": [{"type": "resource_link", "uri": other, "name": "x"}]}
    body = result(asked, link)
    challenge = f'WWW-Authenticate: Bearer resource_metadata="{other}/.well-known/oauth-protected-resource"\r\n'
    moved = {status: http(b"", f"{status} Moved", extra=f"Location: {other}\r\n") for status in (301, 302, 307, 308)}
    return {
        **{f"a {status}": answer for status, answer in moved.items()},
        "metadata named in a 401": http(b"", "401 Unauthorized", extra=challenge),
        "metadata named in a 403": http(b"", "403 Forbidden", extra=challenge),
        "Location on a 200": http(body, extra=f"Location: {other}\r\nContent-Location: {other}\r\n"),
        "Refresh and Link": http(body, extra=f"Refresh: 0; url={other}\r\nLink: <{other}>; rel=preload\r\n"),
        "another service": http(body, extra=f'Alt-Svc: h2="{other[7:]}"\r\n'),
        "a proxy": http(b"", "305 Use Proxy", extra=f"Location: {other}\r\n"),
        "a proxy that wants a name": http(b"", "407 No", extra=f'Proxy-Authenticate: Basic realm="{other}"\r\n'),
        "an upgrade": http(b"", "101 Switching Protocols", extra="Upgrade: h2c\r\nConnection: Upgrade\r\n"),
    }


@pytest.mark.parametrize("which", lures("http://other", Asked(b"", b'{"id":1}', 1)))
async def test_t_49_a_credential_never_leaves_for_another_origin(tmp_path: Path, which: str) -> None:
    async with raw_server(well) as other:

        async def lure(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
            return lures(f"http://127.0.0.1:{other.port}", asked)[which]

        async with raw_server(lure) as server, out_to(server, tmp_path) as out:
            for _ in range(3):
                assert SECRET.encode() not in await out.call({})
            assert server.asked
            assert all(asked.headers["authorization"] == f"Bearer {SECRET}" for asked in server.asked)
            assert SECRET not in out.house.everything_written()
        assert other.connections == 0


async def test_t_49_nor_does_a_stream_lead_there(tmp_path: Path) -> None:
    """The older transport named its address for messages in a first event, `endpoint`."""
    async with raw_server(well) as other:

        async def stream(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
            lure = f"event: endpoint\ndata: http://127.0.0.1:{other.port}/messages\n\n".encode()
            return STREAM + b"%x\r\n%s\r\n" % (len(lure), lure) + event(result(asked)) + LAST

        async with raw_server(stream) as server, out_to(server, tmp_path) as out:
            await out.call({})
            assert len(server.asked) == 1
        assert other.connections == 0
