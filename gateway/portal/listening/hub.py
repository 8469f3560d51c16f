"""Who listens at this process, and what they are to hear: changed lists, changed resources, the end of their stream."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.credentials.connections import news as connected
from gateway.rendezvous import RendezvousDown
from gateway.upstream.refreshing.news import hear

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.credentials.connections.news import Connected
    from gateway.snapshots import Snapshot
    from gateway.upstream.refreshing.news import ServerLists
    from gateway.world import World

    Letter = Snapshot | ServerLists | Connected | str

HELD: Final = 256  # things a listener may be behind before its stream ends
LISTENERS: Final = 10_000
PER_PRINCIPAL: Final = 50
PAUSE: Final = 5.0  # seconds before a rendezvous that was down is listened to again


@dataclass(slots=True, eq=False)
class Listener:
    """One open stream. A Snapshot in `letters` means that lists may have changed, a string is a changed resource."""

    who: str
    letters: asyncio.Queue[Letter] = field(default_factory=lambda: asyncio.Queue(HELD))
    ended: bool = False

    def tell(self, letter: Letter) -> None:
        try:
            self.letters.put_nowait(letter)
        except asyncio.QueueFull:
            self.ended = True

    def end(self) -> None:
        """Wakes whoever waits for a letter, to find that it was the last."""
        self.ended = True
        self.tell("")


class TooMany(Exception):
    """Too many streams: of one principal, or of everybody together."""


class Hub:
    """The listeners of one process. Three tasks watch what there is to hear, for as long as anybody listens."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._listeners: set[Listener] = set()
        self._watching: list[asyncio.Task[None]] = []

    @contextmanager
    def listener(self, who: str) -> Iterator[Listener]:
        mine = sum(listener.who == who for listener in self._listeners)
        if len(self._listeners) >= LISTENERS or mine >= PER_PRINCIPAL:
            raise TooMany
        listener = Listener(who)
        self._listeners.add(listener)
        if not self._watching:
            self._watching = [asyncio.create_task(one) for one in (self._watch(), self._hear(), self._hear_connected())]
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            if not self._listeners:
                for task in self._watching:
                    task.cancel()
                self._watching = []

    async def _watch(self) -> None:
        async for snapshot in self._world.snapshots.changes():
            self._tell(snapshot)

    async def _hear(self) -> None:
        while True:
            with suppress(RendezvousDown):
                async for lists in hear(self._world.rendezvous):
                    self._tell(lists)
            await asyncio.sleep(PAUSE)

    async def _hear_connected(self) -> None:
        while True:
            with suppress(RendezvousDown):
                async for one in connected.hear(self._world.rendezvous):
                    self._tell(one)
            await asyncio.sleep(PAUSE)

    def _tell(self, letter: Letter) -> None:
        for listener in tuple(self._listeners):
            listener.tell(letter)
