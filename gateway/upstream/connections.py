"""All approved servers, as this process reaches them: each by the engine of its transport, behind its breaker."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from gateway.egress.reply import Terms
from gateway.upstream import Answer, Probed, UpstreamBusy, UpstreamError
from gateway.upstream.breaker import Breaker
from gateway.upstream.http import Http
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.parking import Parking
from registry.tables import Auth, Transport

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


class Engine(Protocol):
    """One way of reaching servers. See `Upstreams` for what its functions mean."""

    def send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None, terms: Terms
    ) -> Coroutine[None, None, Answer]: ...

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed: ...

    def events(
        self, server: Upstream, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]: ...

    async def sweep(self) -> None:
        """Now and then: end what nobody uses."""

    async def close(self) -> None: ...


def open_upstreams(settings: Settings, vault: Vault, rendezvous: Rendezvous, _telemetry: Telemetry) -> Upstreams:
    """The servers' side of a process, on the running loop. What a call took is told to telemetry by whoever made it."""
    return Servers(
        vault,
        rendezvous,
        Terms(settings.call_deadline, settings.call_limit, settings.answer_limit),
        settings.in_flight_limit,
    )


class Servers:
    """`Upstreams`. Everything is used on one event loop."""

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
        self._parking = Parking(rendezvous, vault)
        self._http = Http(vault, rendezvous, self._parking, in_flight_limit)
        self._engines: dict[Transport, Engine] = {Transport.HTTP: self._http}
        self._breakers: dict[str, Breaker] = {}
        self._sweeping = asyncio.create_task(self._sweep())

    @property
    def in_flight(self) -> int:
        """Bytes held for calls under way."""
        return self._http.egress.budget.used

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
        return await self._engines[server.transport].probe(server, credential)

    async def events(
        self, server: Upstream, _principal: Principal | None, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        events = self._engines[server.transport].events(server, uris, credential)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    async def close(self) -> None:
        self._sweeping.cancel()
        self._parking.close()
        for engine in self._engines.values():
            await engine.close()

    def _send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None
    ) -> Coroutine[None, None, Answer]:
        if server.auth is not Auth.NONE and credential is None:  # it was tampered with: as nobody we do not go there
            raise CredentialRefused(f"the credential for {server.title or server.slug} cannot be used")
        return self._engines[server.transport].send(server, ask, down, credential, self._terms)

    def _breaker(self, slug: str) -> Breaker:
        breaker = self._breakers.get(slug)
        if breaker is None:
            breaker = self._breakers[slug] = Breaker(self._clock)
        return breaker

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            for engine in self._engines.values():
                await engine.sweep()
