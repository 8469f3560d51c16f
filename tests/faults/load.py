"""Some 200 calls a second over ten connections, each with a number of its own, through every death of the gateway."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Self

from benchmarks.wire import Door, modern
from tests.faults.upstream import ANSWERS_AFTER

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 10
PACE = CONNECTIONS / 200 - ANSWERS_AFTER


class Load:
    """`answered` are the numbers whose success a client has seen."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.answered: set[str] = set()
        self.broken = 0
        self._numbers: Iterator[int] = itertools.count()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._call_for_ever()) for _ in range(CONNECTIONS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call_for_ever(self) -> None:
        while True:
            try:
                await self._connection()
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.broken += 1
            await asyncio.sleep(0.02)

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection(*self.door.address)
        try:
            while True:
                async with asyncio.timeout(5):
                    await self._one(reader, writer)
                await asyncio.sleep(PACE)
        finally:
            writer.transport.abort()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = str(next(self._numbers))
        request = modern(self.door, "tools/call", {"name": "echo", "arguments": {"text": f"n{number}"}})
        writer.write(request.encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        body = json.loads(await reader.readexactly(size))
        if head.startswith(b"http/1.1 200") and not body.get("result", {"isError": True}).get("isError"):
            self.answered.add(f"n{number}")
