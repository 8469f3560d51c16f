"""When personal tokens were last used, written down twice a minute beside the calls."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from authz.tokens.personal import note_uses

if TYPE_CHECKING:
    from gateway.world import World

INTERVAL = 30.0  # seconds

log = logging.getLogger("ostiary")


async def note_uses_forever(world: World) -> None:
    """Until cancelled. What cannot be written now is written with the next."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            await asyncio.to_thread(note_now, world)
        except SQLAlchemyError as error:
            log.warning("the uses of personal tokens were not written down: %s", type(error).__name__)


def note_now(world: World) -> None:
    """Writes what the verifier has seen since the last time; keeps it if that fails."""
    seen = dict(world.verifier.uses)
    if not seen:
        return
    with world.office.database.change() as session:
        note_uses(session, seen)
    for token, moment in seen.items():
        if world.verifier.uses.get(token) == moment:
            del world.verifier.uses[token]
