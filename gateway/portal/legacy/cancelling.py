"""Requests of legacy clients that are under way, and their cancellation, which may arrive at another process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.problems import unavailable
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from gateway.edge.request import Running
    from gateway.portal.legacy.sessions import Session
    from gateway.rendezvous import Rendezvous

TOPIC: Final = "cancel"  # on which processes tell each other what a client cancelled
LIFE: Final = 10.0  # seconds for which a cancellation waits for the request that it is about
PATIENCE: Final = 0.1  # seconds between two looks at what is under way: what is there at two of them lasts

Key = tuple[str, bytes]  # a session's id, and that of a request in it, as raw JSON


def mark_of(key: Key) -> str:
    """A request, as all processes call it."""
    return sha256(b"%s %s" % (key[0].encode(), key[1])).hexdigest()[:32]


class UnderWay:
    """The requests of one process.

    One that lasts may be cancelled by way of another process: worth a name there, and worth listening for, but only
    from then on. One timer looks after all of them, because one each would cost more than most of them take.
    """

    def __init__(self, rendezvous: Rendezvous) -> None:
        self._rendezvous = rendezvous
        self._running: dict[Key, Running] = {}
        self._seen: set[Key] = set()  # at the last look
        self._lasting: dict[str, Key] = {}  # by their marks
        self._timer: asyncio.TimerHandle | None = None
        self._looking: set[asyncio.Task[None]] = set()
        self._hearing: asyncio.Task[None] | None = None

    def has(self, session: Session, ident: bytes) -> bool:
        return (session.id, ident) in self._running

    def start(self, session: Session, ident: bytes, run: Running) -> None:
        self._running[session.id, ident] = run
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._look_around)

    def stop(self, session: Session, ident: bytes) -> None:
        """It has ended."""
        self._running.pop((session.id, ident), None)
        if self._lasting and not self._running:
            self._rest()

    async def cancel(self, session: Session, ident: bytes) -> None:
        """Here, or wherever it is. Raises Problem when the others cannot be told."""
        key = (session.id, ident)
        if self._cancel(key):
            return
        mark = mark_of(key)
        try:
            await self._rendezvous.put(f"{TOPIC}/{mark}", b"1", LIFE)
            await self._rendezvous.publish(TOPIC, mark.encode())
        except RendezvousDown as error:
            raise unavailable("The cancellation cannot be passed on; try again.") from error

    def _cancel(self, key: Key | None) -> bool:
        run = self._running.get(key) if key is not None else None
        return run is not None and run.cancel()

    def _look_around(self) -> None:
        self._timer = None
        running = set(self._running)
        self._lasting = {mark: key for mark, key in self._lasting.items() if key in running}
        for key in (self._seen & running).difference(self._lasting.values()):
            self._attend(key)
        self._seen = running
        if running:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._look_around)

    def _attend(self, key: Key) -> None:
        mark = mark_of(key)
        self._lasting[mark] = key
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear())
        looking = asyncio.create_task(self._look(mark))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    def _rest(self) -> None:
        self._lasting.clear()
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None

    async def _look(self, mark: str) -> None:
        """Cancelled before we listened?"""
        with suppress(RendezvousDown):
            if await self._rendezvous.get(f"{TOPIC}/{mark}") is not None:
                self._cancel(self._lasting.get(mark))

    async def _hear(self) -> None:
        with suppress(RendezvousDown):
            async for mark in self._rendezvous.listen(TOPIC):
                self._cancel(self._lasting.get(mark.decode()))
