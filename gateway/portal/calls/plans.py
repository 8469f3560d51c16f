"""Calls like one that came before: what was found out about that one and cannot have changed is not found out again.

A call goes the whole way first. Most of what was judged on it hangs on the head of its request, on its tool, on its
`_meta` and on the snapshot; so a plan is kept with the head, by tool and `_meta`, and ends with the snapshot. What
hangs on more is no part of it and is looked at each time: the ends of the token and of the policy's word, the
arguments, the credential, how busy the server is, that the record can be written. Whatever is unusual goes the whole
way (ADR 36).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from authz.ids import fresh_id
from gateway.edge import Arrival
from gateway.portal.calls import asking
from gateway.portal.calls.sending import Call
from gateway.portal.exchange import Exchange, knows_tasks
from gateway.portal.reply import Reply, accepts
from gateway.portal.wire import parse, recognised
from registry.tables import Auth, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from authz.policy.decisions import Decision
    from gateway.edge.request import Request
    from gateway.journal import About, JournalDown
    from gateway.portal.calls.sending import Judged
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Found
    from gateway.portal.legacy.sessions import Session
    from gateway.upstream import Answer, Ask
    from gateway.upstream.ways import Trip, Way
    from gateway.world import World
    from registry.catalogue import Credential, Upstream

MOST: Final = 16  # plans of one head; of a modern client it names its tool, so that only `_meta` can differ
LONGEST: Final = 1024  # bytes of a `_meta`
_MEMBERS: Final = {"name", "arguments"}


class Plan(msgspec.Struct, frozen=True):
    """What holds for every call of a tool with one head and one `_meta`, until `until`.

    `credential` is the one of its server, if that has one for all; it is `personal` if each person has one there.
    `session` is there for a legacy client.
    """

    upstream: Upstream
    target: Target
    decision: Decision
    about: About
    way: Way
    until: float
    credential: Credential | None
    personal: bool
    session: Session | None


def learn(call: Judged) -> None:
    """Keeps the plan of a call that went the whole way, if others can go by it."""
    exchange = call.exchange
    found = exchange.found
    if found is None or len(exchange.message.raw_meta) > LONGEST or not _is_usual(call):
        return
    way = call.world.upstreams.way(call.upstream, _of_any(call.ask))
    if way is None:
        return
    if len(found.plans) >= MOST:
        del found.plans[next(iter(found.plans))]
    found.plans[call.target.name, exchange.message.raw_meta] = _plan(call, found, way)


def _is_usual(call: Judged) -> bool:
    """Whether nothing about it hangs on its arguments, on the time, or on who listens."""
    exchange, target, ask, world = call.exchange, call.target, call.ask, call.world
    if target.entry is None or target.kind is not Kind.TOOL or target.noun or target.entry.param_headers:
        return False
    if exchange.message.params.keys() != _MEMBERS or ask.meta or ask.progress or ask.log_level:
        return False
    if call.decision.conditional or call.upstream.stale_since is not None:
        return False
    if not exchange.modern and knows_tasks(exchange):
        return False
    return not (world.telemetry.traces or world.journal.strict or exchange.arrival.origin)


def _of_any(ask: Ask) -> Ask:
    """Without what is each call's own: it would be kept for as long as the plan."""
    return replace(ask, params={name: raw for name, raw in ask.params.items() if name != "arguments"})


def _plan(call: Judged, found: Found, way: Way) -> Plan:
    session = call.exchange.session
    ends = (found.until, call.decision.until, None if session is None else session.ends)
    credential = call.exchange.snapshot.credentials.get(call.upstream.slug)
    return Plan(
        upstream=call.upstream,
        target=replace(call.target, arguments=b"{}"),
        decision=call.decision,
        about=call.about(),
        way=way,
        until=min(end for end in ends if end is not None),
        credential=credential,
        personal=credential is None and call.upstream.auth is not Auth.NONE,
        session=session,
    )


def planned(world: World, request: Request, found: Found, body: bytes) -> Known | None:
    """The call that a request is, if one like it came before and all that was found out then still holds."""
    if not found.plans or found.snapshot is not world.snapshots.current:
        return None
    said = recognised(body)
    if said is None:
        return None
    ident, name, arguments, value, meta = said
    plan = found.plans.get((name, meta))
    if plan is None or time.time() >= plan.until or not world.snapshots.fresh():
        return None
    credential = plan.credential
    if plan.personal:
        credential = world.credentials.at_hand(found.snapshot, plan.upstream, found.principal, plan.target.object)
        if credential is None:
            return None
    return Known(
        world, request, found, plan, credential, fresh_id(), time.perf_counter(), body, ident, arguments, value
    )


class Home(Protocol):
    """Where such calls come from, and end: the portal."""

    def lay(self, exchange: Exchange) -> None: ...
    def on_record(self, go: Callable[[JournalDown | None], None]) -> None: ...
    def finished(self, known: Known, result: bytes) -> None: ...
    def known(self, known: Known) -> Coroutine[Any, Any, None]: ...
    def failed(self, known: Known, error: Exception) -> Coroutine[Any, Any, None]: ...


class Known(Call, msgspec.Struct, eq=False):
    """A call that goes by a plan. What only an unusual end of it needs is made when it is asked for: `full`."""

    final = True

    world: World
    request: Request  # always of the data plane
    found: Found
    plan: Plan
    credential: Credential | None
    record: str
    began: float
    body: bytes
    ident: bytes
    arguments: bytes
    value: dict[str, Any]  # of the arguments
    home: Any = None  # a `Home`, once it has begun
    trip: Trip | None = None  # while it is on its way, and on record
    result: bytes = b""
    silent: int = 0
    full: Exchange | None = None

    def __repr__(self) -> str:
        return f"Known({self.record})"  # a credential is in it, and arguments

    @property
    def upstream(self) -> Upstream:  # type: ignore[override] # nobody sets it
        return self.plan.upstream

    @property
    def request_id(self) -> str:
        return self.record[-16:]  # the random part, see `authz.ids.fresh_mark`

    @property
    def exchange(self) -> Exchange:
        if self.full is None:
            self.full = self._exchanged()
            self.home.lay(self.full)
        return self.full

    @property
    def target(self) -> Target:
        return replace(self.plan.target, arguments=self.arguments)

    @property
    def decision(self) -> Decision:
        return self.plan.decision

    @property
    def ask(self) -> Ask:
        return asking.prepare(self.exchange, self.target)

    def intend(self, *, held: bool = False) -> None:
        self.world.telemetry.decided(True)
        self.world.journal.intend(
            self.plan.about,
            call=self.record,
            decision=fresh_id(),
            request_id=self.request_id,
            arguments=self.arguments,
            value=self.value,
            held=held,
        )

    def leave(self) -> Awaitable[Answer]:
        trip, self.trip = self.trip, None
        if trip is not None:
            return self.plan.way.rest(trip, self.arguments, self.down)
        return self.plan.way.along(self.arguments, self.credential, self.down)

    def begin(self) -> bool:
        """Ready to `depart` when it is on record; unless there is something to wait for. Raises JournalDown."""
        trip = self.plan.way.trip(self.arguments, self.credential)
        if trip is None:
            return False
        try:
            self.intend(held=True)
        except BaseException:  # whatever it is: nothing leaves, and the connection is free again
            trip.back()
            raise
        self.trip = trip
        self.world.underway.begin(self)
        self.home.on_record(self._depart)
        return True

    def _depart(self, down: JournalDown | None) -> None:
        """Off to its server."""
        trip: Any = self.trip
        if down is not None:
            self.trip = None
            trip.back()
            self.world.underway.end(self.record)
            self._fail(down)
            return
        reply = trip.depart()
        if reply.come:
            self._heard()
        else:
            reply.then = self._heard

    def _heard(self) -> None:
        """Its answer, or what came instead: on to the client if there is nothing to it, else by the long way."""
        trip: Any = self.trip
        result = trip.result()
        if result:
            self.trip = None
            trip.end()
            self._finish(result)
        elif result is None:
            trip.reply.then = self._heard
        else:
            self._resume()

    def _finish(self, result: bytes) -> None:
        world, record = self.world, self.record
        try:
            world.underway.end(record)
            world.journal.conclude(record, "ok", held=True)
            world.telemetry.concluded(self.plan.upstream.slug, "ok", time.perf_counter() - self.began)
        except Exception as error:  # noqa: BLE001 - whoever calls is the server's connection, which has no part in it
            self._fail(error)
        else:
            self.result = result
            self.home.on_record(self._tell)

    def _tell(self, down: JournalDown | None) -> None:
        """On to the client."""
        if down is None:
            self.home.finished(self, self.result)
        else:
            self._fail(down)

    def _fail(self, error: Exception) -> None:
        """Something of ours is in its way."""
        self.request.serve(self.home.failed(self, error))

    def _resume(self) -> None:
        """The rest of it as a coroutine."""
        self.request.serve(self.home.known(self))

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a task
        """Soon, as a run does it (`gateway.running`), which it becomes for that."""
        asyncio.get_running_loop().call_soon(self._cancel)  # whoever cancels may be in the middle of something
        return True

    def _cancel(self) -> None:
        trip = self.trip
        if trip is not None and trip.reply is not None and trip.reply.then is not None:
            trip.reply.then = None
            self._resume()
        if self.request.run is not self:
            self.request.run.cancel()

    async def murmur(self) -> None:
        """See `gateway.portal.reply.Pulse`. Between that and this it may have been answered."""
        if not self.request.response_complete:
            await self.exchange.reply.murmur()

    def _exchanged(self) -> Exchange:
        found, head, session = self.found, self.request.head, self.plan.session
        assert head is not None
        arrival = Arrival(
            head.headers, head.doubled, self.request_id, head.source, head.origin, self.request.line, self.request
        )
        reply = Reply(self.request, arrival, *accepts(head.headers.get(b"accept", b"*/*")))
        return Exchange(
            self.world, found.snapshot, found.mount, found.principal, arrival, parse(self.body), reply,
            session is None, session, found=found,
        )  # fmt: skip
