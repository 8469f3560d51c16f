"""The rendezvous of several processes on one database.

While somebody waits for a letter, one look every 40 ms serves all who wait in this process; who only listens is served
five times a second, for listening has no end; otherwise nothing runs. Every round trip has 2 seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from gateway.rendezvous import RendezvousDown
from gateway.rendezvous.mail import TOPIC_LIFE, Mail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from registry.database import Database

PATIENCE = 2.0
PAUSE = 0.04
LISTENING_PAUSE = 0.2
TOPIC_LIMIT = 1000  # messages that a listener has not taken
RETURNED_LIFE = 60.0  # seconds for a letter whose receiver was gone when it came

T = TypeVar("T")
Heard = bytes | RendezvousDown


class _Listener:
    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.since = time.time() - 0.001  # the clock is a float, and one may publish at once
        self.queue: asyncio.Queue[Heard] = asyncio.Queue(TOPIC_LIMIT)

    def hear(self, heard: Heard) -> None:
        if self.queue.full():
            self.queue.get_nowait()  # a listener that does not listen loses the oldest
        self.queue.put_nowait(heard)


class SharedRendezvous:
    """Used on one event loop in each process; meets the others in the database."""

    def __init__(self, database: Database) -> None:
        self._mail = Mail(database)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="rendezvous")
        self._waiting: dict[str, deque[asyncio.Future[bytes]]] = {}
        self._listeners: set[_Listener] = set()
        self._after: dict[str, int] = {}  # by topic, the last letter heard
        self._failing_since: float | None = None
        self._looking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        await self._ask(self._mail.put, key, value, time.time() + ttl)

    async def get(self, key: str) -> bytes | None:
        return await self._ask(self._mail.get, key)

    async def take(self, key: str) -> bytes | None:
        return await self._ask(self._mail.take, key)

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        return await self._ask(self._mail.add, key, value, time.time() + ttl)

    async def send(self, box: str, body: bytes, ttl: float) -> None:
        await self._ask(self._mail.post, f"box/{box}", body, time.time() + ttl)

    async def receive(self, box: str, timeout: float) -> bytes | None:  # noqa: ASYNC109
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        name = f"box/{box}"
        self._waiting.setdefault(name, deque()).append(waiter)
        self._look()
        try:
            await asyncio.wait((waiter,), timeout=timeout)
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # the letter had come all the same, and is not lost
                with suppress(RendezvousDown):  # or is, and whoever cancels is heard all the same
                    await self._ask(self._mail.post, name, waiter.result(), time.time() + RETURNED_LIFE)
            raise
        finally:
            self._no_longer(name, waiter)
        if waiter.done():
            return waiter.result()
        if self._failing_since is not None:
            raise RendezvousDown("the database does not answer")
        return None

    async def publish(self, topic: str, body: bytes) -> None:
        await self._ask(self._mail.post, f"topic/{topic}", body, time.time() + TOPIC_LIFE)

    def listen(self, topic: str) -> AsyncIterator[bytes]:
        listener = _Listener(f"topic/{topic}")
        self._listeners.add(listener)
        self._look()
        return self._heard(listener)

    async def count(self, key: str, window: float) -> int:
        return await self._ask(self._mail.count, key, window)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, act: Callable[..., T], *arguments: object) -> T:
        try:
            answer = asyncio.get_running_loop().run_in_executor(self._threads, act, *arguments)
            try:
                await asyncio.wait((answer,), timeout=PATIENCE)
            finally:
                too_late = answer.cancel()
            if too_late:
                raise RendezvousDown(f"the database did not answer within {PATIENCE:g} s")
            return answer.result()
        except (SQLAlchemyError, RuntimeError) as error:  # RuntimeError: closed
            raise RendezvousDown("the database does not answer") from error

    def _look(self) -> None:
        self._hurry.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_around())

    async def _look_around(self) -> None:
        while self._waiting or self._listeners:
            try:
                await self._deliver()
                await self._broadcast()
            except RendezvousDown as down:
                self._failed(down)
            else:
                self._failing_since = None
            await self._pause(PAUSE if self._waiting else LISTENING_PAUSE)

    async def _pause(self, seconds: float) -> None:
        """Until it is time to look again, or somebody new waits."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    async def _deliver(self) -> None:
        boxes = {box: len(waiters) for box, waiters in self._waiting.items()}
        found = await self._ask(self._mail.collect, boxes) if boxes else []
        for box, body in found:
            waiter = next((one for one in self._waiting.get(box, ()) if not one.done()), None)
            if waiter is None:  # gone while the letter was on its way
                await self._ask(self._mail.post, box, body, time.time() + RETURNED_LIFE)
            else:
                waiter.set_result(body)

    async def _broadcast(self) -> None:
        topics = {listener.topic for listener in self._listeners}
        if not topics:
            return
        found = await self._ask(self._mail.hear, topics, min(self._after.get(topic, 0) for topic in topics))
        for number, topic, body, at in found:
            for listener in self._listeners:
                if listener.topic == topic and listener.since <= at and number > self._after.get(topic, 0):
                    listener.hear(body)
        newest = max((number for number, *_ in found), default=0)
        self._after = {topic: max(newest, self._after.get(topic, 0)) for topic in topics}

    def _failed(self, down: RendezvousDown) -> None:
        """A short failure is made up for by the life of what was published; after that, listeners must know."""
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > TOPIC_LIFE / 2:
            for listener in self._listeners:
                listener.hear(down)

    async def _heard(self, listener: _Listener) -> AsyncIterator[bytes]:
        try:
            while True:
                heard = await listener.queue.get()
                if isinstance(heard, RendezvousDown):
                    raise heard
                yield heard
        finally:
            self._listeners.discard(listener)

    def _no_longer(self, box: str, waiter: asyncio.Future[bytes]) -> None:
        waiters = self._waiting.get(box)
        if waiters is None:
            return
        with suppress(ValueError):
            waiters.remove(waiter)
        if not waiters:
            del self._waiting[box]
