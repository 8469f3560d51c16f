"""The cheapest MCP server there can be: an echo, in either era, so that what is measured is the door before it.

`python -m benchmarks.upstream --era modern --tools 10` prints `{"url": ...}` when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from typing import Any

import httptools
import msgspec
import uvloop

LATEST = "2026-07-28"
LAST_HANDSHAKE = "2025-11-25"
COUNTS = "/counts"  # where it says how often somebody connected and greeted
DESCRIPTION = "Gives back what it was given. " * 3


class Call(msgspec.Struct):
    method: str
    id: msgspec.Raw = msgspec.Raw()
    params: msgspec.Raw = msgspec.Raw(b"{}")


class Params(msgspec.Struct):
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


def tools(count: int) -> list[dict[str, Any]]:
    """`echo` and as many others as wanted, about as large as tools are."""
    text = {"type": "object", "properties": {"text": {"type": "string", "description": "What to give back."}}}
    names = ["echo", *(f"tool_{number:05}" for number in range(1, count))]
    return [{"name": name, "description": DESCRIPTION, "inputSchema": text} for name in names]


class Server:
    """The answers, made once."""

    def __init__(self, *, era: str, count: int) -> None:
        self.modern = era == "modern"
        fresh = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "private"} if self.modern else {}
        about: dict[str, Any] = {"capabilities": {"tools": {}}}
        hello = {"protocolVersion": LAST_HANDSHAKE, "serverInfo": {"name": "echo", "version": "1"}, **about}
        self.fixed = {
            "server/discover": json.dumps({"supportedVersions": [LATEST], **about, **fresh}).encode(),
            "initialize": json.dumps(hello).encode(),
            "tools/list": json.dumps({"tools": tools(count), **fresh}).encode(),
            "ping": b"{}",
        }
        self.call = msgspec.json.Decoder(Call)
        self.params = msgspec.json.Decoder(Params)
        self.tail = b'}],"resultType":"complete"}' if self.modern else b"}]}"

        self.greeted = self.connected = 0

    def counts(self) -> bytes:
        """How often somebody connected, and how often somebody began a session."""
        return _response(200, json.dumps({"connected": self.connected, "greeted": self.greeted}).encode())

    def answer(self, version: bytes, body: bytes) -> bytes:
        """The whole HTTP answer to one request."""
        if version == LATEST.encode() and not self.modern:
            return _response(400, b'{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request"},"id":null}')
        call = self.call.decode(body)
        if not call.id:
            return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
        result = self._echo(call.params) if call.method == "tools/call" else self.fixed.get(call.method)
        if result is None:
            return _response(404, b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"unknown"}}' % call.id)
        session = b""
        if call.method == "initialize":
            self.greeted += 1
            session = b"Mcp-Session-Id: s%d\r\n" % self.greeted
        return _response(200, b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call.id, result), session)

    def _echo(self, params: msgspec.Raw) -> bytes:
        text = msgspec.json.encode(bytes(self.params.decode(params).arguments).decode())
        return b'{"content":[{"type":"text","text":' + text + self.tail


def _response(status: int, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, more, len(body)) + body


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.body: list[bytes] = []
        self.version = b""
        self.target = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.connected += 1
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, target: bytes) -> None:
        self.target = target

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"mcp-protocol-version":
            self.version = value

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        body, version = b"".join(self.body), self.version
        self.body.clear()
        self.version = b""
        if self.target == COUNTS.encode():
            self.transport.write(self.server.counts())
        elif self.parser.get_method() != b"POST":
            self.transport.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
        else:
            self.transport.write(self.server.answer(version, body))


async def _serve(server: Server, port: int) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/mcp"}), flush=True)
    await over.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--era", choices=["modern", "legacy"], default="modern")
    parser.add_argument("--tools", type=int, default=10)
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    uvloop.run(_serve(Server(era=chosen.era, count=chosen.tools), chosen.port))


if __name__ == "__main__":
    main()
