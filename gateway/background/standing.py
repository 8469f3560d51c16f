"""What metrics say of servers: counted where everybody's changes are, and only where somebody reads metrics."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, func, select

from gateway.operating.hidden import many_hidden
from registry.tables import Server, ServerState

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.world import World

EVERY: Final = 15.0  # seconds


async def stand_forever(world: World) -> None:
    """Until cancelled."""
    while world.settings.metrics_listen:
        with suppress(SQLAlchemyError):  # the next look will tell
            world.telemetry.stand(*await asyncio.to_thread(_standing, world.office))
        await asyncio.sleep(EVERY)
    await asyncio.Event().wait()


def _standing(office: Office) -> tuple[dict[str, int], dict[str, int]]:
    """How many servers there are in each state, and how much is hidden of each."""
    query = select(Server.state, func.count()).group_by(col(Server.state))
    with office.database.read() as session:
        states = dict.fromkeys(map(str, ServerState), 0) | {str(state): count for state, count in session.exec(query)}
        return states, many_hidden(session)
