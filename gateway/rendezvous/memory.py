"""The rendezvous of a gateway that is one process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SWEEP = 1024  # things left between two looks for what is too old
BOX_LIMIT = 1000  # letters that nobody fetches
TOPIC_LIMIT = 1000  # messages that a listener has not taken


@dataclass(slots=True)
class _Box:
    letters: deque[tuple[float, bytes]] = field(default_factory=deque)
    waiting: deque[asyncio.Future[bytes]] = field(default_factory=deque)


class MemoryRendezvous:
    """Used on one event loop; what it holds ends with the process."""

    def __init__(self) -> None:
        self._parcels: dict[str, tuple[float, bytes]] = {}
        self._boxes: dict[str, _Box] = {}
        self._topics: dict[str, set[asyncio.Queue[bytes]]] = {}
        self._counts: dict[str, tuple[float, int]] = {}
        self._since_sweep = 0

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        self._sweep()
        self._parcels[key] = (time.monotonic() + ttl, value)

    async def get(self, key: str) -> bytes | None:
        return self._fresh(key)

    async def take(self, key: str) -> bytes | None:
        value = self._fresh(key)
        self._parcels.pop(key, None)
        return value

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        if self._fresh(key) is not None:
            return False
        await self.put(key, value, ttl)
        return True

    async def send(self, box: str, body: bytes, ttl: float) -> None:
        self._sweep()
        here = self._boxes.setdefault(box, _Box())
        while here.waiting:
            waiter = here.waiting.popleft()
            if not waiter.done():
                waiter.set_result(body)
                return
        if len(here.letters) >= BOX_LIMIT:
            raise RendezvousDown(f"nobody fetches the letters of a box: it holds {BOX_LIMIT}")
        here.letters.append((time.monotonic() + ttl, body))

    async def receive(self, box: str, timeout: float) -> bytes | None:  # noqa: ASYNC109
        here = self._boxes.setdefault(box, _Box())
        now = time.monotonic()
        while here.letters:
            until, body = here.letters.popleft()
            if until > now:
                return body
        return await self._wait(box, here, timeout)

    async def publish(self, topic: str, body: bytes) -> None:
        for queue in self._topics.get(topic, ()):
            if queue.full():
                queue.get_nowait()  # a listener that does not listen loses the oldest
            queue.put_nowait(body)

    def listen(self, topic: str) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes] = asyncio.Queue(TOPIC_LIMIT)
        self._topics.setdefault(topic, set()).add(queue)
        return self._heard(topic, queue)

    async def count(self, key: str, window: float) -> int:
        self._sweep()
        now = time.monotonic()
        until, count = self._counts.get(key, (0.0, 0))
        if until <= now:
            until, count = now + window, 0
        self._counts[key] = (until, count + 1)
        return count + 1

    async def close(self) -> None:
        for box in self._boxes.values():
            for waiter in box.waiting:
                waiter.cancel()
        self._boxes.clear()

    def _fresh(self, key: str) -> bytes | None:
        until, value = self._parcels.get(key, (0.0, b""))
        return value if until > time.monotonic() else None

    async def _wait(self, box: str, here: _Box, timeout: float) -> bytes | None:  # noqa: ASYNC109
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        here.waiting.append(waiter)
        try:
            await asyncio.wait((waiter,), timeout=timeout)
            return waiter.result() if waiter.done() else None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                here.letters.appendleft((time.monotonic() + timeout, waiter.result()))
            raise
        finally:
            if waiter in here.waiting:
                here.waiting.remove(waiter)
            if not here.letters and not here.waiting:
                self._boxes.pop(box, None)

    async def _heard(self, topic: str, queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await queue.get()
        finally:
            listeners = self._topics.get(topic, set())
            listeners.discard(queue)
            if not listeners:
                self._topics.pop(topic, None)

    def _sweep(self) -> None:
        self._since_sweep += 1
        if self._since_sweep < SWEEP:
            return
        self._since_sweep, now = 0, time.monotonic()
        self._parcels = {key: parcel for key, parcel in self._parcels.items() if parcel[0] > now}
        self._counts = {key: count for key, count in self._counts.items() if count[0] > now}
        for name, box in list(self._boxes.items()):
            box.letters = deque(letter for letter in box.letters if letter[0] > now)
            if not box.letters and not box.waiting:
                del self._boxes[name]
