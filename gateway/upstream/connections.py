"""All approved servers, as this process reaches them: each by the engine of its transport, behind its breaker."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.egress.pool import Egress
from gateway.egress.reply import Terms
from gateway.journal import GATEWAY, JournalDown
from gateway.upstream import Answer, Probed, UpstreamError
from gateway.upstream.breaker import Breaker
from gateway.upstream.channels.engine import Channels
from gateway.upstream.channels.sse import SsePlaces
from gateway.upstream.channels.stdio import StdioPlaces
from gateway.upstream.eras import Eras
from gateway.upstream.http import Http
from gateway.upstream.legacy.parking import Parking
from gateway.upstream.limits import Gate, may_repeat
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.openapi.engine import Apis
from gateway.upstream.upstreams import Strain
from gateway.upstream.ways import passed
from registry.credentials.tls import TLS_KEY, owner
from registry.errors import SecretRefused
from registry.tables import Auth, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping

    from authz.principals import Principal
    from gateway.office import Office
    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ask, Downstream, Ended, FeedEvent
    from gateway.upstream.channels.places import Places
    from gateway.upstream.limits import Plan
    from gateway.upstream.troubles import Trouble
    from gateway.upstream.upstreams import Upstreams
    from gateway.upstream.ways import Way
    from registry.catalogue import Credential, Upstream
    from registry.secrets.vault import Vault

SWEEP_EVERY = 60.0
LAST_WORDS = 2.0  # seconds for which what is kept open with an account that ended waits for what is said with it


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


def open_upstreams(office: Office, rendezvous: Rendezvous) -> Upstreams:
    """The servers' side of a process, on the running loop. What a call took is told to telemetry by whoever made it."""
    settings = office.settings
    return Servers(
        office.vault,
        rendezvous,
        Terms(settings.call_deadline, settings.call_limit, settings.answer_limit),
        settings.in_flight_limit,
        processes=StdioPlaces(settings.stdio_servers, settings.data, settings.answer_limit),
        keys=lambda slug: _key_of(office, slug),
        told=lambda slug, trouble: _note(office, slug, trouble),
    )


def _key_of(office: Office, slug: str) -> bytes:
    with office.database.read() as session:
        return office.vault.open_secret(session, owner(slug), TLS_KEY)


def _note(office: Office, slug: str, trouble: Trouble | None) -> None:
    """That a server is left alone from now on in this process, or that it answers again."""
    with suppress(JournalDown):  # no call leaves then anyway
        if trouble is None:
            office.journal.note("server.answers", who=GATEWAY, server=slug)
        else:
            office.journal.note("server.left_alone", who=GATEWAY, server=slug, trouble=str(trouble))


def _no_keys(slug: str) -> bytes:
    raise SecretRefused(f"there is no key for {slug}")


class Servers:
    """`Upstreams`. Everything is used on one event loop."""

    def __init__(
        self,
        vault: Vault,
        rendezvous: Rendezvous,
        terms: Terms,
        in_flight_limit: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        processes: Places | None = None,
        keys: Callable[[str], bytes] = _no_keys,
        told: Callable[[str, Trouble | None], None] = lambda _slug, _trouble: None,
    ) -> None:
        self._terms = terms
        self._clock = clock
        self._told = told
        self._parking = Parking(rendezvous, vault)
        self._egress = Egress(in_flight_limit, keys)
        http = Http(vault, rendezvous, self._parking, self._egress)
        self._engines: dict[Transport, Engine] = {Transport.HTTP: http, Transport.OPENAPI: Apis(self._egress)}
        for transport, places in ((Transport.SSE, SsePlaces(self._egress, terms.size)), (Transport.STDIO, processes)):
            if places is not None:
                self._engines[transport] = Channels(places, self._parking, self._egress.budget)
        self._gates: dict[str, Gate] = {}
        self._doubted: Callable[[str], object] = lambda _slug: None
        self._eras = Eras(self.probe)
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeping = asyncio.create_task(self._sweep())

    def heed(self, doubted: Callable[[str], object]) -> None:
        self._doubted = doubted

    @property
    def in_flight(self) -> int:
        """Bytes held for calls under way."""
        return self._egress.budget.used

    def strains(self) -> Mapping[str, Strain]:
        """Of every server that was asked since this process began."""
        return {
            slug: Strain(gate.under_way, gate.breaker.trouble, gate.breaker.pause)
            for slug, gate in list(self._gates.items())
        }

    def send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None
    ) -> Coroutine[None, None, Answer]:
        gate = self._gate(server)
        plan = gate.plan(ask)
        return passed(gate, ask, self._twice if plan.repeat else self._send, server, ask, down, credential, plan)

    def way(self, server: Upstream, ask: Ask) -> Way | None:
        gate = self._gate(server)
        plan = gate.plan(ask)
        engine = self._engines[server.transport]
        return engine.way(server, ask, gate, plan.terms) if isinstance(engine, Http) and not plan.repeat else None

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:
        return await self._engines[server.transport].probe(server, credential)

    async def is_other(self, server: Upstream, credential: Credential | None) -> bool:
        other = await self._eras.is_other(server, credential)
        if other:
            self._doubted(server.slug)
        return other

    async def events(
        self, server: Upstream, _principal: Principal | None, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        events = self._engines[server.transport].events(server, uris, credential)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    def leave(self, server: str) -> None:
        for engine in self._engines.values():
            if isinstance(engine, Channels):
                engine.leave(server)

    def forsake(self, ended: Ended, telling: Collection[asyncio.Task[None]] = ()) -> None:
        self._parking.forsake(ended)
        if not telling:
            self._close_those(ended)
            return
        closing = asyncio.create_task(self._close_after(telling, ended))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close_after(self, telling: Collection[asyncio.Task[None]], ended: Ended) -> None:
        await asyncio.wait(telling, timeout=LAST_WORDS)
        self._close_those(ended)

    def _close_those(self, ended: Ended) -> None:
        for engine in self._engines.values():
            if isinstance(engine, Http | Channels):
                engine.forsake(ended)

    async def close(self) -> None:
        self._sweeping.cancel()
        self._eras.close()
        for closing in self._closing:
            closing.cancel()
        await self._parking.close()
        for engine in self._engines.values():
            await engine.close()
        self._egress.close()

    def _send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None, plan: Plan
    ) -> Coroutine[None, None, Answer]:
        if server.auth is not Auth.NONE and credential is None and ask.principal is not None:  # nobody calls as nobody
            raise CredentialRefused(f"the credential for {server.title or server.slug} cannot be used")
        return self._engines[server.transport].send(server, ask, down, credential, plan.terms)

    async def _twice(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None, plan: Plan
    ) -> Answer:
        """Once more if the answer was lost, within the time that the call has."""
        began = self._clock()
        try:
            return await self._send(server, ask, down, credential, plan)
        except UpstreamError as error:
            left = plan.terms.total - (self._clock() - began)
            if left <= 0 or not may_repeat(ask, error):
                raise
        rest = replace(plan.terms, silence=min(plan.terms.silence, left), total=left)
        return await self._send(server, ask, down, credential, replace(plan, terms=rest))

    def _gate(self, server: Upstream) -> Gate:
        """Of a registration; a snapshot's servers are constants, so the very same object means no change."""
        slug = server.slug
        gate = self._gates.get(slug)
        if gate is None:
            breaker = Breaker(self._clock, lambda trouble: self._told(slug, trouble))
            gate = self._gates[slug] = Gate(server, self._terms, breaker, self._parking.whose)
            gate.doubted = lambda: self._doubted(slug)
        elif gate.upstream is not server:
            gate.renew(server)
        return gate

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            for engine in self._engines.values():
                await engine.sweep()
