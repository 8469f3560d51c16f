"""What a server says of a task that somebody follows: that it is time to look (SEP-2663, `notifications/tasks`).

What it says is not passed on: whoever follows a task hears what a look finds, which is decided and on record. Where a
server says nothing, or does not say it where we can hear, looks come as often as it wants to be asked.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from gateway.portal import handles
from gateway.portal.listening.hearing import hear
from gateway.upstream.following import TASK
from gateway.upstream.legacy.task_words import own_id
from registry.tables import Era, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.portal.exchange import Exchange
    from gateway.portal.listening.hearing import Hears

APART: Final = 0.5  # seconds between looks, however much a server says


class Hint:
    """Word of one task, of which nobody else hears."""

    def __init__(self) -> None:
        self._said = asyncio.Event()

    def tell(self, _letter: object) -> None:
        self._said.set()

    async def wait(self, seconds: float) -> None:
        """Until there is news, or for so long."""
        await asyncio.sleep(min(seconds, APART))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds - APART):
                await self._said.wait()
        self._said.clear()


@asynccontextmanager
async def of(exchange: Exchange, ident: str) -> AsyncIterator[Hint]:
    """Heard while the block runs, with the account that is its client's at the time."""
    hint = Hint()
    hearing = begin(exchange, ident, hint)
    try:
        yield hint
    finally:
        if hearing is not None:
            hearing.cancel()
            await asyncio.wait({hearing})


def begin(exchange: Exchange, ident: str, hears: Hears) -> asyncio.Task[None] | None:
    """The same until what it gives is cancelled; none where nothing can be heard."""
    named = _named(exchange, ident)
    return None if named is None else asyncio.create_task(hear(exchange, named[0], frozenset({named[1]}), hears))


def _named(exchange: Exchange, ident: str) -> tuple[str, str] | None:
    """Its server and what stands for it there; none where its server would say it where we do not listen: one of before
    speaks of a task on the stream of the session that began it, which is there only while calls of that session are.
    """
    handle = handles.opened(exchange, ident)
    server = exchange.snapshot.catalogue.upstreams.get(handle.server) if handle is not None else None
    if handle is None or server is None or not handle.task:
        return None
    if server.era is Era.MODERN:
        return server.slug, TASK + handle.task
    return (server.slug, TASK + own_id(handle.task)) if server.transport is not Transport.HTTP else None
