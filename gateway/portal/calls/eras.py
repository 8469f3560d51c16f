"""The first call after a server was replaced by one of the other era is carried out, when its server is known again.

It was refused before anything was done, so it may go once more. The server is read anew first, as it is whenever its
answers look strange: what it offers may be another thing than was approved. Then the call is judged by what holds now.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gateway.portal.calls import asking, rounds
from gateway.portal.calls.targets import TARGETS, decided
from gateway.portal.lasting import judged_by
from gateway.problems import Problem
from gateway.running import as_task
from gateway.upstream.tasks import METHODS

if TYPE_CHECKING:
    from gateway.portal.calls.sending import Call
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.snapshots import Snapshot
    from gateway.upstream import Ask
    from gateway.world import World
    from registry.catalogue import Upstream

PATIENCE: Final = 15.0  # seconds for which a call waits until its server was read anew

Anew = tuple["Exchange", "Target", "Ask"]


async def anew(call: Call, method: str) -> Anew | None:
    """The call in the words of the era that its server speaks now; None where that is not so, or it may not go.

    `method` is what the server did not take.
    """
    if method != call.ask.method or rounds.STATE in call.ask.params or call.ask.method in METHODS:
        return None  # something was begun before
    await as_task()
    world, server = call.world, call.upstream
    if not _is_other(world.snapshots.current, server) and not await world.upstreams.is_other(server, call.credential):
        return None
    snapshot = await _known_again(world, server)
    with suppress(Problem):
        return None if snapshot is None else _judged(call, snapshot)
    return None


async def _known_again(world: World, server: Upstream) -> Snapshot | None:
    if _is_other(world.snapshots.current, server):
        return world.snapshots.current
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            async for snapshot in world.snapshots.changes():
                if _is_other(snapshot, server):
                    return snapshot
    return None


def _is_other(snapshot: Snapshot, server: Upstream) -> bool:
    now = snapshot.catalogue.upstreams.get(server.slug)
    return now is not None and now.era is not server.era


def _judged(call: Call, snapshot: Snapshot) -> Anew | None:
    exchange = judged_by(call.exchange, snapshot, in_time=False)
    if exchange is None:
        return None
    before, target = call.target.entry, TARGETS[exchange.message.method](exchange)
    if target.entry is None or before is None or target.entry.digest != before.digest:
        return None
    return (exchange, target, asking.prepare(exchange, target)) if decided(exchange, target) else None
