"""Calls like one that came before: what was found out about that one and cannot have changed is not found out again.

A call goes the whole way first. Most of what was judged on it hangs on the head of its request, on its tool, on its
`_meta` and on the snapshot; so a plan is kept with the head, by tool and `_meta`, and ends with the snapshot. What
hangs on more is no part of it and is looked at each time: the ends of the token and of the policy's word, the
arguments, the credential, how busy the server is, that the record can be written. Whatever is unusual goes the whole
way (ADR 36).
"""

from __future__ import annotations

import asyncio
import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from authz.ids import fresh_id
from gateway.edge import Arrival
from gateway.portal.answers.finishing import is_plain
from gateway.portal.calls import asking
from gateway.portal.calls.sending import Call
from gateway.portal.exchange import Exchange, Found
from gateway.portal.reply import Reply, accepts
from gateway.portal.wire import parse, recognised
from registry.tables import Auth, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from authz.policy.decisions import Decision
    from gateway.edge.request import Request
    from gateway.journal import About
    from gateway.portal.calls.targets import Target
    from gateway.upstream import Answer, Ask
    from gateway.upstream.ways import Trip, Way
    from gateway.world import World
    from registry.catalogue import Credential, Upstream

MOST: Final = 4  # plans of one head, which names its tool: only `_meta` can differ
LONGEST: Final = 1024  # bytes of a `_meta`
_MEMBERS: Final = {"name", "arguments"}


class Plan(msgspec.Struct, frozen=True):
    """What holds for every call of a tool with one head and one `_meta`, until `until`.

    `credential` is the one of its server, if that has one for all.
    """

    upstream: Upstream
    target: Target
    decision: Decision
    about: About
    way: Way
    until: float
    credential: Credential | None


def learn(call: Call) -> None:
    """Keeps the plan of a call that went the whole way, if others can go by it."""
    exchange = call.exchange
    found = exchange.found
    if found is None or not exchange.modern or len(exchange.message.raw_meta) > LONGEST or not _is_usual(call):
        return
    way = call.world.upstreams.way(call.upstream, _of_any(call.ask))
    if way is None:
        return
    if len(found.plans) >= MOST:
        found.plans.clear()
    found.plans[call.target.name, exchange.message.raw_meta] = _plan(call, way)


def _is_usual(call: Call) -> bool:
    """Whether nothing about it hangs on its arguments, on the time, or on who listens."""
    exchange, target, ask, world = call.exchange, call.target, call.ask, call.world
    if target.entry is None or target.kind is not Kind.TOOL or target.noun or target.entry.param_headers:
        return False
    if exchange.message.params.keys() != _MEMBERS or ask.meta or ask.progress or ask.log_level:
        return False
    if call.decision.conditional or call.upstream.stale_since is not None:
        return False
    return not (world.telemetry.traces or world.journal.strict or exchange.arrival.origin)


def _of_any(ask: Ask) -> Ask:
    """Without what is each call's own: it would be kept for as long as the plan."""
    return replace(ask, params={name: raw for name, raw in ask.params.items() if name != "arguments"})


def _plan(call: Call, way: Way) -> Plan:
    exchange, until = call.exchange, call.decision.until
    return Plan(
        upstream=call.upstream,
        target=replace(call.target, arguments=b"{}"),
        decision=call.decision,
        about=call.about(),
        way=way,
        until=math.inf if until is None else until,
        credential=exchange.snapshot.credentials.get(call.upstream.slug),
    )


def planned(world: World, request: Request, found: Found, body: bytes, now: float) -> Known | None:
    """The call that a request is, if one like it came before and all that was found out then still holds."""
    if not found.plans or found.snapshot is not world.snapshots.current or now >= found.until:
        return None
    said = recognised(body)
    if said is None:
        return None
    ident, name, arguments, meta = said
    plan = found.plans.get((name, meta))
    if plan is None or now >= plan.until or not world.snapshots.fresh():
        return None
    credential = plan.credential
    if credential is None and plan.upstream.auth is not Auth.NONE:
        credential = world.credentials.at_hand(found.snapshot, plan.upstream, found.principal, plan.target.object)
        if credential is None:
            return None
    return Known(world, request, found, plan, body, ident, arguments, credential)


class Home(Protocol):
    """Where such calls come from, and end: the portal."""

    def finished(self, known: Known, result: bytes) -> None: ...
    def known(self, known: Known) -> Coroutine[Any, Any, None]: ...
    def failed(self, known: Known, error: Exception) -> Coroutine[Any, Any, None]: ...


class Known(Call):
    """A call that goes by a plan. What only an unusual end of it needs is made when it is asked for."""

    final = True
    request: Request  # always of the data plane
    silent = 0
    _exchange = None
    _trip: Trip | None = None
    _home: Home

    def __init__(
        self,
        world: World,
        request: Request,
        found: Found,
        plan: Plan,
        body: bytes,
        ident: bytes,
        arguments: bytes,
        credential: Credential | None,
    ) -> None:
        self.world, self.request, self._found, self._plan = world, request, found, plan
        self._body, self.ident, self._arguments, self.credential = body, ident, arguments, credential
        self.upstream = plan.upstream
        self.record = fresh_id()
        self.began = time.perf_counter()

    @property
    def started(self) -> bool:
        """Whether something was said to the client before its answer."""
        return self._exchange is not None and self._exchange.reply.started

    @property
    def exchange(self) -> Exchange:
        if self._exchange is None:
            self._exchange = self._exchanged()
        return self._exchange

    @property
    def target(self) -> Target:
        return replace(self._plan.target, arguments=self._arguments)

    @property
    def ask(self) -> Ask:
        return asking.prepare(self.exchange, self.target)

    @cached_property
    def _request_id(self) -> str:
        return fresh_id()[:16]

    def intend(self) -> None:
        self.world.telemetry.decided(True)
        self.world.journal.intend(
            self._plan.about,
            call=self.record,
            decision=fresh_id(),
            request_id=self._request_id,
            arguments=self._arguments,
        )

    def leave(self) -> Awaitable[Answer]:
        trip, self._trip = self._trip, None
        if trip is not None:
            return trip.rest(self.down)
        return self._plan.way.along(self._arguments, self.credential, self.down)

    @property
    def left(self) -> bool:
        """Whether it is on its way already, and on record."""
        return self._trip is not None

    def begin(self, home: Home) -> bool:
        """Sends it now, if there is nothing to wait for. Raises JournalDown."""
        trip = self._plan.way.trip(self._arguments, self.credential)
        if trip is None:
            return False
        self.intend()
        self._home, self._trip = home, trip
        self.world.underway.begin(self)
        reply = trip.depart()
        if reply.come:
            self._heard()
        else:
            reply.then = self._heard
        return True

    def _heard(self) -> None:
        """Its answer, or what came instead: on to the client if there is nothing to it, else by the long way."""
        trip = self._trip
        assert trip is not None
        result = trip.result()
        if not is_plain(result):
            self._resume()
            return
        try:
            self._conclude(trip)
        except Exception as error:  # noqa: BLE001 - whoever calls is the server's connection, which has no part in it
            self.request.serve(self._home.failed(self, error))
        else:
            self._home.finished(self, result)

    def _conclude(self, trip: Trip) -> None:
        self._trip = None
        trip.end()
        world = self.world
        world.underway.end(self.record)
        world.journal.conclude(self.record, "ok")
        world.telemetry.concluded(self.upstream.slug, "ok", time.perf_counter() - self.began)

    def _resume(self) -> None:
        """The rest of it as a coroutine."""
        self.request.serve(self._home.known(self))

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a task
        """Soon, as a run does it (`gateway.running`), which it becomes for that."""
        asyncio.get_running_loop().call_soon(self._cancel)  # whoever cancels may be in the middle of something
        return True

    def _cancel(self) -> None:
        trip = self._trip
        if trip is not None and trip.reply.then is not None:
            trip.reply.then = None
            self._resume()
        if self.request.run is not self:
            self.request.run.cancel()

    async def murmur(self) -> None:
        """See `gateway.portal.reply.Pulse`."""
        await self.exchange.reply.murmur()

    def _exchanged(self) -> Exchange:
        found, head = self._found, self.request.head
        assert head is not None
        arrival = Arrival(
            head.headers, head.doubled, self._request_id, head.source, head.origin, self.request.line, self.request
        )
        reply = Reply(self.request, arrival, *accepts(head.headers.get(b"accept", b"*/*")))
        message = parse(self._body)
        return Exchange(
            self.world, found.snapshot, found.mount, found.principal, arrival, message, reply, True, found=found
        )
