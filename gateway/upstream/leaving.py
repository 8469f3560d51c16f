"""Ending what runs for a server that was suspended, retired, or is to be run in another way, and what runs with an
account that was ended: in every process.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.credentials.shelf import has_ended

if TYPE_CHECKING:
    from gateway.world import World


async def leave_forever(world: World) -> None:
    """Until cancelled."""
    known, cut = world.snapshots.current.catalogue.upstreams.keys(), world.snapshots.current.cutoffs
    async for snapshot in world.snapshots.changes():
        now = snapshot.catalogue.upstreams.keys()
        for slug in known - now:
            world.upstreams.leave(slug)
        if snapshot.cutoffs != cut:
            telling = world.underway.tasks.recall(snapshot)
            world.upstreams.forsake(partial(has_ended, snapshot.cutoffs), telling)
        known, cut = now, snapshot.cutoffs
