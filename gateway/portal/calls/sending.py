"""Over to a server and back: what happens between the intent of a call and its outcome."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.ids import fresh_id
from gateway.credentials import ConnectionNeeded
from gateway.portal.answers.finishing import finished, is_plain
from gateway.portal.answers.unseen import unseen
from gateway.portal.calls import connecting
from gateway.portal.calls.eras import anew
from gateway.portal.calls.relay import Relay
from gateway.problems import Problem, of_upstream
from gateway.upstream import Answer, UpstreamError, UpstreamSlow
from gateway.upstream.messages import CredentialRefused, NotTaken
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine

    from authz.policy.decisions import Decision
    from gateway.edge.request import Request
    from gateway.journal import About
    from gateway.operating.tracing import Trace
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.upstream import Ask, Downstream
    from gateway.world import World
    from registry.catalogue import Credential, Upstream

NOT_CONNECTED: Final = "not-connected"  # the outcome where the server wants what somebody has to connect first

_encode: Final = msgspec.json.Encoder().encode


class _Peek(msgspec.Struct):
    """What the record says of a result; the result itself is not re-modelled."""

    isError: msgspec.Raw = msgspec.Raw(b"false")  # noqa: N815 - the name on the wire


_peek: Final = msgspec.json.Decoder(_Peek)


class Call:
    """One call that is decided and may leave: one that was `Judged`, or is `plans.Known`."""

    final = False  # whether an answer with nothing unusual in it may go on as it is
    world: World
    request: Request | None
    upstream: Upstream
    credential: Credential | None
    record: str
    began: float

    @property
    def exchange(self) -> Exchange:
        raise NotImplementedError

    @property
    def target(self) -> Target:
        raise NotImplementedError

    @property
    def ask(self) -> Ask:
        raise NotImplementedError

    @property
    def decision(self) -> Decision:
        raise NotImplementedError

    def intend(self) -> None:
        """On record before anything leaves. Raises JournalDown."""
        raise NotImplementedError

    def leave(self) -> Awaitable[Answer]:
        """Over to its server, whose answer comes back."""
        raise NotImplementedError

    @property
    def recalled(self) -> bool:
        """Whether what let it begin was revoked, so that it was cancelled; see `gateway.portal.calls.underway`."""
        return self.request is not None and self.request.recalled

    def down(self) -> Downstream:
        """Who hears what the server says before its answer."""
        return Relay(self.exchange, self.upstream)


class Judged(Call):
    """A call that went the whole way."""

    def __init__(
        self, exchange: Exchange, target: Target, ask: Ask, decision: Decision, credential: Credential | None
    ) -> None:
        self._exchange, self._target, self._ask, self._decision = exchange, target, ask, decision
        self.world = exchange.world
        self.request = exchange.arrival.request
        self.upstream = exchange.snapshot.catalogue.upstreams[target.server]
        self.credential = credential
        self.record = fresh_id()
        self.began = time.perf_counter()

    @property
    def exchange(self) -> Exchange:
        return self._exchange

    @property
    def target(self) -> Target:
        return self._target

    @property
    def ask(self) -> Ask:
        return self._ask

    @property
    def decision(self) -> Decision:
        return self._decision

    def about(self) -> About:
        """Who does what, for the record."""
        exchange, target = self.exchange, self.target
        return self.world.journal.about(
            exchange.principal,
            method=exchange.message.method,
            server=target.server,
            object=target.object,
            rule=self.decision.rule,
            epoch=exchange.snapshot.epoch,
            portal=exchange.mount.portal,
            era=exchange.era,
        )

    def intend(self) -> None:
        self.world.journal.intend(
            self.about(),
            call=self.record,
            decision=self.decision.id,
            request_id=self.exchange.arrival.request_id,
            arguments=self.target.arguments,
        )

    def leave(self) -> Awaitable[Answer]:
        return self.world.upstreams.send(self.upstream, self.ask, self.down(), self.credential)


def send(call: Call) -> Coroutine[None, None, Answer]:
    """The answer, which is awaited at once; its intent is on record now, and its outcome before anybody hears of it."""
    call.intend()
    return sent(call)


async def sent(call: Call) -> Answer:
    """The same for a call that is on record already."""
    world, begun = call.world, call
    outcome = "cancelled"
    facts: dict[str, Any] = {}
    trace = begin_trace(call.exchange, call.target, call.ask) if world.telemetry.traces else None
    world.underway.begin(call)
    try:
        if world.journal.strict:
            await world.journal.durable()
        call, answer = await _answered(call)
        plain = is_plain(answer.result)
        outcome = "ok" if plain else outcome_of(answer)
        if not plain and (hidden := unseen(answer.result)):
            facts["hidden"] = hidden
        return answer if plain and call.final else finished(call.exchange, call.target, answer, call.credential)
    except Problem:  # what the server said may not go on
        outcome, facts["trouble"] = "broken", str(Trouble.PROTOCOL)
        raise
    except ConnectionNeeded as needed:
        outcome = NOT_CONNECTED
        return connecting.ask_person(call.exchange, call.target, call.ask, needed, connecting.mark(call.credential))
    except UpstreamError as error:
        outcome = "timeout" if isinstance(error, UpstreamSlow) else "broken"
        facts["trouble"] = str(error.trouble)
        raise of_upstream(error) from error
    finally:
        world.underway.end(begun.record)
        _conclude(begun, "revoked" if outcome == "cancelled" and begun.recalled else outcome, facts, trace)


def _conclude(call: Call, outcome: str, facts: dict[str, Any], trace: Trace | None) -> None:
    """On record before anybody hears of it."""
    world = call.world
    world.journal.conclude(call.record, outcome, **facts)
    world.telemetry.concluded(call.upstream.slug, outcome, time.perf_counter() - call.began)
    if trace is not None:
        trace.end(outcome)


async def _answered(call: Call) -> tuple[Call, Answer]:
    """Once more where it was refused before its server looked at it, and that can be mended."""
    try:
        answer = await call.leave()
    except CredentialRefused as refused:
        if call.credential is None:
            raise
        return call, await _again(call, call.credential, refused)
    except NotTaken as refused:
        return await _in_its_era(call, refused.method, refused)
    return await _in_its_era(call, answer.strange, answer) if answer.strange else (call, answer)


async def _again(call: Call, used: Credential, refused: CredentialRefused) -> Answer:
    """Once more with another credential: the server refused the one it was sent before it looked at the call."""
    world, principal = call.world, call.exchange.principal
    now = world.snapshots.current
    call.credential = await world.credentials.again(now, call.upstream, principal, used, refused, call.target.object)
    return await call.leave()


async def _in_its_era(call: Call, method: str, said: NotTaken | Answer) -> tuple[Call, Answer]:
    """Once more, in the words of the era that the server turns out to speak now: it did not take the others."""
    words = await anew(call, method)
    if words is not None:
        call = Judged(*words, call.decision, call.credential)
        return call, await call.leave()
    if isinstance(said, NotTaken):
        raise said
    return call, said


def begin_trace(exchange: Exchange, target: Target, ask: Ask) -> Trace | None:
    """A span where somebody wants one; the server then hangs its own below it (SEP-414)."""
    header = exchange.arrival.headers.get(b"traceparent")
    given = exchange.message.meta_value("traceparent")
    trace = exchange.world.telemetry.trace(
        given if isinstance(given, str) else None, header.decode("latin-1") if header is not None else None
    )
    if trace is not None:
        trace.about(exchange.message.method, server=target.server, object=target.object, decision="")
        ask.meta = {**ask.meta, "traceparent": _encode(trace.traceparent)}
    return trace


def outcome_of(answer: Answer) -> str:
    if answer.error:
        return "error"
    if b"isError" not in answer.result and b"\\u" not in answer.result:
        return "ok"
    try:
        return "tool_error" if bytes(_peek.decode(answer.result).isError) == b"true" else "ok"
    except msgspec.DecodeError:
        return "error"
