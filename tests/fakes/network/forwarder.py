"""A loopback forwarder that adds `Authorization` to requests and leaves every other byte as it is.

The conformance suite sends no token, and the product has no anonymous mode. Answers pass through unread, piece by
piece, so that event streams flow; when either side closes, the other is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import Self

CHUNK = 64 * 1024
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[ \t]*chunked", re.IGNORECASE)
PROTECTED = (b"/mcp", b"/servers/")


class Forwarder:
    """Listens on a free port of `host`, in a thread of its own; `token` may be changed at any time."""

    def __init__(self, host: str, port: int, token: str = "") -> None:
        self.target = (host, port)
        self.token = token
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listening = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._listen())

    async def _listen(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK * 4)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        async with server:
            await self._over.wait()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            upstream, to_upstream = await asyncio.open_connection(*self.target)
        except OSError:
            to_client.close()
            return
        ways = (self._requests(client, to_upstream), _copy(upstream, to_client))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # the forwarder ends, and the connection with it
        finally:
            for task in tasks:
                task.cancel()
            to_client.close()
            to_upstream.close()

    async def _requests(self, client: asyncio.StreamReader, upstream: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                upstream.write(self._authorized(head))
                await _copy_body(head, client, upstream)

    def _authorized(self, head: bytes) -> bytes:
        line, _, rest = head.partition(b"\r\n")
        if not line.split(b" ")[1].startswith(PROTECTED):
            return head
        return line + b"\r\nAuthorization: Bearer " + self.token.encode() + b"\r\n" + rest


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await reader.read(CHUNK):
            writer.write(piece)
            await writer.drain()


async def _copy_body(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = LENGTH.search(head)
    if length is not None:
        await _copy_exactly(int(length[1]), reader, writer)
    elif CHUNKED.search(head):
        await _copy_chunks(reader, writer)


async def _copy_exactly(count: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while count:
        piece = await reader.readexactly(min(count, CHUNK))
        count -= len(piece)
        writer.write(piece)
        await writer.drain()


async def _copy_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = -1
    while size != 0:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        writer.write(line)
        await _copy_exactly(size + 2, reader, writer)
