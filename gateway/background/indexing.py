"""Copying the journal into the search index: each process what it writes, the leading one what others have left."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.journal.index.copying import Indexer

if TYPE_CHECKING:
    from gateway.world import World

IDLE: Final = 1.0  # seconds between two looks at a journal in which nothing was new
BREATH: Final = 0.002  # seconds in which calls go on, and others write to the database
ENDED: Final = "it ended, and is started again"  # whatever else is raised, see the log
OTHERS_EVERY: Final = 5.0  # seconds; what nobody has copied by then, nobody else does


async def index_forever(world: World, *, leader: bool) -> None:
    """Until cancelled, in a thread of its own."""
    executor, over = ThreadPoolExecutor(1, "journal-index"), Event()
    try:
        await asyncio.get_running_loop().run_in_executor(executor, Indexing(world, leader=leader).run, over)
    finally:
        over.set()
        executor.shutdown(wait=False)


class Indexing:
    """Of one process. Calls do not need the index: a fault is told in `World.index`, and it is tried again."""

    def __init__(self, world: World, *, leader: bool) -> None:
        self._world = world
        self._leader = leader
        self._indexer = Indexer(world.settings.journal, world.office.database, world.journal)
        self._looked_at = 0.0

    def run(self, over: Event) -> None:
        while not over.wait(BREATH if self._round() else IDLE):
            pass

    def _round(self) -> bool:
        """One batch; gives whether there is more."""
        index, own, trouble = self._world.index, self._world.journal.writer, ENDED
        try:
            behind = self._indexer.step(own)
            index.waiting = behind or self._indexer.waiting(own)
            more = self._leader and self._look_around()
            trouble = ""
        except (SQLAlchemyError, OSError) as error:
            trouble = type(error).__name__
            return False
        finally:
            index.trouble = trouble
        return more or behind > 0

    def _look_around(self) -> bool:
        """What commands, our parent and the dead have left; and how far behind the index is in all, for metrics."""
        now = monotonic()
        if now < self._looked_at + OTHERS_EVERY:
            return False
        left = [writer for writer in self._indexer.writers() if self._indexer.waiting(writer) > OTHERS_EVERY]
        more = max(map(self._indexer.step, left), default=0.0) > 0
        self._world.telemetry.waiting(self._indexer.waiting())
        if not more:
            self._looked_at = now
        return more
