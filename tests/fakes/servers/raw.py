"""A server on loopback that says byte for byte what a test wants, also what no library would."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authz.principals import Principal, VerifiedClaims
from registry.catalogue import Upstream
from registry.tables import Auth, Era

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable


@dataclass
class Asked:
    """A request as it came in."""

    head: bytes
    body: bytes
    connection: int

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("ascii")

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}

    @property
    def message(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def method(self) -> str:
        return self.message.get("method", "") if self.body else ""


@dataclass
class RawServer:
    """`respond` gets each request and the writer; bytes that it returns are written."""

    respond: Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]]
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)  # a client closed its side
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def upstream(self, era: Era = Era.MODERN, *, host: str = "127.0.0.1", **changes: Any) -> Upstream:
        facts: dict[str, Any] = {
            "slug": "raw",
            "title": "Raw",
            "url": f"http://{host}:{self.port}/mcp",
            "scheme": "http",
            "host": host,
            "port": self.port,
            "target": "/mcp",
            "era": era,
            "protocol_version": "2026-07-28" if era is Era.MODERN else "2025-11-25",
            "auth": Auth.NONE,
            "capabilities": {},
            "address_exception": True,
        }
        return Upstream(**(facts | changes))

    def asked_for(self, method: str) -> list[Asked]:
        return [one for one in self.asked if one.method == method]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                asked = await read_request(reader, connection)
                self.asked.append(asked)
                said = await self.respond(asked, writer)
                if said is not None:
                    writer.write(said)
                await writer.drain()
                if writer.is_closing():
                    break
        self.hung_up.set()
        writer.close()


async def read_request(reader: asyncio.StreamReader, connection: int = 0) -> Asked:
    head = await reader.readuntil(b"\r\n\r\n")
    asked = Asked(head, b"", connection)
    asked.body = await reader.readexactly(int(asked.headers.get("content-length", "0")))
    return asked


@contextlib.asynccontextmanager
async def raw_server(
    respond: Callable[[Asked, asyncio.StreamWriter], Awaitable[bytes | None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Listens while the block runs; its connections are cut at the end."""
    server = RawServer(respond)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await server.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def http(body: bytes, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    """A whole HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode("latin-1") + body


def result(asked: Asked, value: dict[str, Any] | None = None) -> bytes:
    """The JSON-RPC result that belongs to a request."""
    value = {"resultType": "complete", "content": []} if value is None else value
    return json.dumps({"jsonrpc": "2.0", "id": asked.message["id"], "result": value}).encode()


def error(asked: Asked, code: int, **more: Any) -> bytes:
    fault = {"code": code, "message": "no", **more}
    return json.dumps({"jsonrpc": "2.0", "id": asked.message.get("id"), "error": fault}).encode()


def upstream_at(url: str, era: Era = Era.MODERN) -> Upstream:
    """Another server on this machine, as registered and approved."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    server = RawServer(_nothing, port=parts.port or 80)
    return server.upstream(era, host=parts.hostname, target=parts.path, url=url)


async def _nothing(asked: Asked, writer: asyncio.StreamWriter) -> None:
    return None


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(message: bytes | dict[str, Any], ident: str = "") -> bytes:
    """One event of a stream, as a chunk."""
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    head = f"id: {ident}\r\n".encode() if ident else b""
    return chunk(head + b"event: message\r\ndata: " + data + b"\r\n\r\n")


LAST = b"0\r\n\r\n"


def principal(subject: str, **changes: Any) -> Principal:
    """Somebody who asks."""
    facts: dict[str, Any] = {
        "claims": VerifiedClaims({}),
        "issuer": "https://door.example",
        "subject": subject,
        "label": f"user:{subject}",
        "subjects": frozenset(),
        "client": "c",
        "scopes": frozenset(),
        "resource": "https://door.example/mcp",
        "expires_at": 2**40,
    }
    return Principal(**(facts | changes))
