"""What a server says of resources that somebody listens to, heard with the account that is theirs at the time.

A stream outlasts credentials: one that was ended, replaced or renewed meanwhile is not sent to the server again, and
neither is any to a server that has gone elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from gateway.credentials import CredentialUnavailable

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Credential, Upstream

UPDATED: Final = "notifications/resources/updated"
WITHOUT: Final = 10.0  # seconds between looks for the account of whoever has none
LOOK: Final = 0.5  # seconds between looks whether it is still the same


class Hears(Protocol):
    """Is told which resource has changed."""

    def tell(self, letter: str, /) -> None: ...


async def hear(exchange: Exchange, server: str, uris: frozenset[str], listener: Hears) -> None:
    """Until cancelled. Whoever has no account there hears nothing of its resources until they have one."""
    while True:
        try:
            upstream, credential = await _now(exchange, server)
        except CredentialUnavailable:
            await asyncio.sleep(WITHOUT)
            continue
        passing_on = asyncio.create_task(_pass_on(exchange, upstream, credential, uris, listener))
        try:
            await _while_the_same(exchange, upstream, credential)
        finally:
            passing_on.cancel()
            await asyncio.wait({passing_on})


async def _pass_on(
    exchange: Exchange, upstream: Upstream, credential: Credential | None, uris: frozenset[str], listener: Hears
) -> None:
    async for event in exchange.world.upstreams.events(upstream, exchange.principal, uris, credential):
        if event.method == UPDATED and event.uri in uris:
            listener.tell(event.uri)


async def _while_the_same(exchange: Exchange, upstream: Upstream, credential: Credential | None) -> None:
    while True:
        await asyncio.sleep(LOOK)
        try:
            now, held = await _now(exchange, upstream.slug)
        except CredentialUnavailable:
            return
        if held != credential or (now.url, now.transport, now.era) != (upstream.url, upstream.transport, upstream.era):
            return


async def _now(exchange: Exchange, server: str) -> tuple[Upstream, Credential | None]:
    """The server, and what it knows them by. Raises CredentialUnavailable."""
    held, who, snapshot = exchange.world.credentials, exchange.principal, exchange.world.snapshots.current
    upstream = snapshot.catalogue.upstreams.get(server)
    if upstream is None:
        raise CredentialUnavailable("the server is not there any more")
    return upstream, held.at_hand(snapshot, upstream, who) or await held.obtain(upstream, who)
