"""Ending what runs for a server that was suspended, retired, or is to be run in another way: in every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.world import World


async def leave_forever(world: World) -> None:
    """Until cancelled."""
    known = world.snapshots.current.catalogue.upstreams.keys()
    async for snapshot in world.snapshots.changes():
        now = snapshot.catalogue.upstreams.keys()
        for slug in known - now:
            world.upstreams.leave(slug)
        known = now
