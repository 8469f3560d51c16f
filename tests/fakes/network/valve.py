"""A way to a server on loopback that can be cut: connections are refused, or stay open and nothing passes."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self

CHUNK = 64 * 1024


class Valve:
    """`with Valve(port) as valve:`; what connects to `valve.port` reaches `port`, until it is shut or stopped."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._target = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._flows = asyncio.Event()
        self._flows.set()
        self._pipes: set[asyncio.StreamWriter] = set()
        self._copies: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        self._thread.start()
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def open(self) -> None:
        """Connections are taken again, at the same port."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    def shut(self) -> None:
        """Everything that is connected is cut off, and nobody gets in."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)

    def stop(self) -> None:
        """Nothing passes any more, and nobody is told: a machine that hangs."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def go_on(self) -> None:
        self._loop.call_soon_threadsafe(self._flows.set)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        self._server.close()
        self._flows.set()
        for pipe in self._pipes:
            pipe.transport.abort()
        await asyncio.gather(*self._copies, return_exceptions=True)

    async def _serve(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection("127.0.0.1", self._target)
        self._pipes |= {to_near, to_far}
        for ways in ((near, to_far), (far, to_near)):
            copying = asyncio.ensure_future(self._copy(*ways))
            self._copies.add(copying)
            copying.add_done_callback(self._copies.discard)

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self._flows.wait()
                to.write(data)
                await to.drain()
        self._pipes.discard(to)
        to.close()
