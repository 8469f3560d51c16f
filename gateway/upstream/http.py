"""Servers of streamable HTTP, of either era."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gateway.egress.routes import Route, route_to
from gateway.upstream import Answer, Probed, modern
from gateway.upstream.driving import driven, needs_driving
from gateway.upstream.feeds import Feeds
from gateway.upstream.following import Follower
from gateway.upstream.legacy.engine import SHORT, Legacy
from gateway.upstream.legacy.handshake import Greeting, end, session_lines
from gateway.upstream.legacy.sessions import Sessions
from gateway.upstream.legacy.ways import LegacyWay, is_straight
from gateway.upstream.refreshing.probe import probe
from gateway.upstream.ways import Way
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Terms
    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ask, Downstream, Ended, FeedEvent
    from gateway.upstream.legacy.parking import Parking
    from gateway.upstream.limits import Gate
    from registry.catalogue import Credential, Upstream
    from registry.secrets.vault import Vault

FAREWELL = 3.0  # seconds in which sessions are ended when the process ends


class Http:
    """An `Engine`: connections, legacy sessions and feeds of one process."""

    def __init__(self, vault: Vault, rendezvous: Rendezvous, parking: Parking, egress: Egress) -> None:
        self.egress = egress
        self._sessions = Sessions(self.egress, rendezvous, vault)
        self._legacy = Legacy(self.egress, self._sessions, parking)
        self._feeds = Feeds()
        self._routes: dict[str, tuple[Upstream, Route]] = {}

    def send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None, terms: Terms
    ) -> Coroutine[None, None, Answer]:
        route = self._route(server)
        if server.era is Era.MODERN:
            if needs_driving(ask):
                return driven(
                    ask, down, lambda one: modern.send(self.egress, route, one, down, credential, terms), terms.total
                )
            return modern.send(self.egress, route, ask, down, credential, terms)
        return self._legacy.send(route, ask, down, credential, terms)

    def way(self, server: Upstream, ask: Ask, gate: Gate, terms: Terms) -> Way | None:
        """For calls like this one, if each of them is one request and its answer."""
        route = self._route(server)
        if server.era is Era.MODERN:
            return None if needs_driving(ask) else Way(self.egress, route, ask, gate, terms)
        if not is_straight(ask):
            return None
        return LegacyWay(self.egress, route, ask, gate, terms, self._sessions, self._legacy)

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:
        """Asks afresh each time. A legacy server's session is kept, for refreshing."""
        route = self._route(server)
        found = await probe(self.egress, route, credential)
        if isinstance(found, Probed):
            return found
        await self._keep(found, route, credential)
        return found.probed

    async def events(
        self, server: Upstream, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        route = self._route(server)
        key = (self._sessions.key(None, route, credential, b"{}"), server.era, credential)  # renewed is another
        events = self._feeds.events(key, server, uris, lambda: self._follower(server, route, credential), credential)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    def _follower(self, server: Upstream, route: Route, credential: Credential | None) -> Follower:
        return Follower(self.egress, self._sessions, self._legacy, route, credential, server.era)

    def forsake(self, ended: Ended) -> None:
        self._feeds.forsake(ended)
        self._legacy.forsake(ended)

    async def sweep(self) -> None:
        await self._sessions.sweep()

    async def close(self) -> None:
        self._feeds.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._legacy.close()
                await self._sessions.close()

    async def _keep(self, greeting: Greeting, route: Route, credential: Credential | None) -> None:
        key = self._sessions.key(None, route, credential, b"{}")
        if not self._sessions.known(key):
            self._sessions.adopt(key, greeting, route, credential)
        elif greeting.session:
            await end(self.egress, route, session_lines(greeting), credential, SHORT)

    def _route(self, server: Upstream) -> Route:
        """Made once per registration; a snapshot's servers are constants, so the very same object means no change."""
        known = self._routes.get(server.slug)
        if known is not None and known[0] is server:
            return known[1]
        route = route_to(server)
        self._routes[server.slug] = (server, route)
        return route
