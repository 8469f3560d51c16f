"""What runs beside the calls: watching the epochs, refreshing the catalogue, indexing the journal, sweeping."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from gateway import clock
from gateway.background.indexing import index_forever
from gateway.background.standing import stand_forever
from gateway.background.sweep import sweep_forever
from gateway.background.uses import note_uses_forever
from gateway.credentials.connections.tending import Tending
from gateway.identity.refreshing import Refreshing
from gateway.upstream.leaving import leave_forever
from gateway.upstream.refreshing.refresh import Refresher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from gateway.world import World

    Work = Callable[[], Awaitable[None]]

RESTART_PAUSE = 1.0  # seconds before a task that failed is started again

log = logging.getLogger("ostiary")


@asynccontextmanager
async def background(world: World, *, leader: bool, also: Mapping[str, Work]) -> AsyncIterator[None]:
    """The tasks of a serving process, cancelled when the block ends; one that fails is started again."""
    works: dict[str, Work] = {
        **also,
        "snapshots": world.snapshots.watch,
        "refresh": Refresher(world).run,
        "connections": lambda: Tending(world.credentials.equipment).run(),
        "identities": Refreshing(world.office, world.providers).run,
        "underway": lambda: world.underway.watch(world.snapshots),
        "leaving": lambda: leave_forever(world),
        "index": lambda: index_forever(world, leader=leader),
        "uses": lambda: note_uses_forever(world),
        "counts": world.telemetry.settle_forever,
    }
    if leader:
        works["clock"] = lambda: clock.watch(world.journal)
        works["standing"] = lambda: stand_forever(world)
        works["sweep"] = lambda: sweep_forever(world.office)
    tasks = [asyncio.create_task(_keep(name, work), name=name) for name, work in works.items()]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _keep(name: str, work: Work) -> None:
    while True:
        try:
            await work()
        except Exception:  # the edge of a process's life: whatever it was, the others must go on
            log.exception("%s failed and is started again", name)
        await asyncio.sleep(RESTART_PAUSE)
