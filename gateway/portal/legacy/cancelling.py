"""Requests of legacy clients that are under way, and their cancellation, which may arrive at another process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from gateway.problems import unavailable
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from gateway.portal.legacy.sessions import Session
    from gateway.rendezvous import Rendezvous
    from gateway.running import Run

TOPIC: Final = "cancel"  # on which processes tell each other what a client cancelled
LIFE: Final = 10.0  # seconds for which a cancellation waits for the request that it is about
PATIENCE: Final = 0.2  # seconds after which a call counts as one that lasts


def mark_of(session: Session, ident: bytes) -> str:
    """A request, as all processes call it."""
    return sha256(b"%s %s" % (session.id.encode(), ident)).hexdigest()[:32]


class UnderWay:
    """The requests of one process, by their marks."""

    def __init__(self, rendezvous: Rendezvous) -> None:
        self._rendezvous = rendezvous
        self._running: dict[str, asyncio.Task[Any] | Run] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._hearing: asyncio.Task[None] | None = None

    def __contains__(self, mark: str) -> bool:
        return mark in self._running

    def start(self, mark: str, run: asyncio.Task[Any] | Run) -> asyncio.TimerHandle:
        """A call that lasts may be cancelled by way of another process: worth listening for, from then on."""
        self._running[mark] = run
        return asyncio.get_running_loop().call_later(PATIENCE, self._attend, mark)

    def stop(self, mark: str, patience: asyncio.TimerHandle) -> None:
        """It has ended; `patience` is what `start` gave."""
        patience.cancel()
        self._running.pop(mark, None)
        if not self._running and self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None

    async def cancel(self, mark: str) -> None:
        """Here, or wherever it is. Raises Problem when the others cannot be told."""
        if self._cancel(mark):
            return
        try:
            await self._rendezvous.put(f"{TOPIC}/{mark}", b"1", LIFE)
            await self._rendezvous.publish(TOPIC, mark.encode())
        except RendezvousDown as error:
            raise unavailable("The cancellation cannot be passed on; try again.") from error

    def _cancel(self, mark: str) -> bool:
        run = self._running.get(mark)
        return run is not None and run.cancel()

    def _attend(self, mark: str) -> None:
        if self._hearing is None or self._hearing.done():
            self._hearing = asyncio.create_task(self._hear())
        looking = asyncio.create_task(self._look(mark))
        self._looking.add(looking)
        looking.add_done_callback(self._looking.discard)

    async def _look(self, mark: str) -> None:
        """Cancelled before we listened?"""
        with suppress(RendezvousDown):
            if await self._rendezvous.get(f"{TOPIC}/{mark}") is not None:
                self._cancel(mark)

    async def _hear(self) -> None:
        with suppress(RendezvousDown):
            async for mark in self._rendezvous.listen(TOPIC):
                self._cancel(mark.decode())
