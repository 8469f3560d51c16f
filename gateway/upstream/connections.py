"""All approved servers, as this process reaches them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from gateway.egress.pool import Egress
from gateway.egress.reply import Terms
from gateway.egress.routes import Route, route_to
from gateway.upstream import Answer, Probed, UpstreamBusy, UpstreamError, modern
from gateway.upstream.breaker import Breaker
from gateway.upstream.feeds import Feeds
from gateway.upstream.handshake import Greeting, end, session_lines
from gateway.upstream.legacy import SHORT, Legacy
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.parking import Parking
from gateway.upstream.probe import probe
from gateway.upstream.sessions import Sessions
from registry.tables import Auth, Era

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from authz.principals import Principal
    from gateway.operating.telemetry import Telemetry
    from gateway.rendezvous import Rendezvous
    from gateway.settings import Settings
    from gateway.upstream import Ask, Downstream, FeedEvent, Upstreams
    from registry.catalog import Credential, Upstream
    from registry.vault import Vault

SWEEP_EVERY = 60.0
FAREWELL = 3.0  # seconds in which sessions are ended when the process ends


def open_upstreams(settings: Settings, vault: Vault, rendezvous: Rendezvous, _telemetry: Telemetry) -> Upstreams:
    """The servers' side of a process, on the running loop. What a call took is told to telemetry by whoever made it."""
    return Servers(
        vault,
        rendezvous,
        Terms(settings.call_deadline, settings.call_limit, settings.answer_limit),
        settings.in_flight_limit,
    )


class Servers:
    """`Upstreams` over HTTP. Everything is used on one event loop."""

    def __init__(
        self,
        vault: Vault,
        rendezvous: Rendezvous,
        terms: Terms,
        in_flight_limit: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._clock = clock
        self._egress = Egress(in_flight_limit)
        self._sessions = Sessions(self._egress, rendezvous, vault)
        self._legacy = Legacy(self._egress, self._sessions, Parking(rendezvous, vault))
        self._feeds = Feeds(self._egress, self._sessions, self._legacy)
        self._routes: dict[str, tuple[Upstream, Route]] = {}
        self._breakers: dict[str, Breaker] = {}
        self._sweeping = asyncio.create_task(self._sweep())

    @property
    def in_flight(self) -> int:
        """Bytes held for calls under way."""
        return self._egress.budget.used

    async def send(self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None) -> Answer:
        breaker = self._breaker(server.slug)
        breaker.admit()
        try:
            answer = await self._send(server, ask, down, credential)
        except (UpstreamBusy, CredentialRefused):
            raise
        except UpstreamError:
            breaker.failed()
            raise
        breaker.succeeded()
        return answer

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:
        """Asks afresh each time. A legacy server's session is kept, for refreshing."""
        route = self._route(server)
        found = await probe(self._egress, route, credential)
        if isinstance(found, Probed):
            return found
        await self._keep(found, route, credential)
        return found.probed

    async def events(
        self, server: Upstream, _principal: Principal | None, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        events = self._feeds.events(server, self._route(server), uris, credential)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def close(self) -> None:
        self._sweeping.cancel()
        self._feeds.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._legacy.close()
                await self._sessions.close()
        self._egress.close()

    def _send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None
    ) -> Coroutine[None, None, Answer]:
        if server.auth != Auth.NONE and credential is None:  # it was tampered with: as nobody we do not go there
            raise CredentialRefused(f"the credential for {server.title or server.slug} cannot be used")
        route = self._route(server)
        if server.era is Era.MODERN:
            return modern.send(self._egress, route, ask, down, credential, self._terms)
        return self._legacy.send(route, ask, down, credential, self._terms)

    async def _keep(self, greeting: Greeting, route: Route, credential: Credential | None) -> None:
        key = self._sessions.key(None, route, credential, b"{}")
        if not self._sessions.known(key):
            self._sessions.adopt(key, greeting, route, credential)
        elif greeting.session:
            await end(self._egress, route, session_lines(greeting), credential, SHORT)

    def _route(self, server: Upstream) -> Route:
        """Made once per registration; a snapshot's servers are constants, so the very same object means no change."""
        known = self._routes.get(server.slug)
        if known is not None and known[0] is server:
            return known[1]
        route = route_to(server)
        self._routes[server.slug] = (server, route)
        return route

    def _breaker(self, slug: str) -> Breaker:
        breaker = self._breakers.get(slug)
        if breaker is None:
            breaker = self._breakers[slug] = Breaker(self._clock)
        return breaker

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            await self._sessions.sweep()
