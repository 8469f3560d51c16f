"""Over to a server and back: what happens between the intent of a call and its outcome."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.credentials import ConnectionNeeded
from gateway.portal.answers.finishing import finished
from gateway.portal.answers.unseen import unseen
from gateway.portal.calls import connecting
from gateway.portal.calls.relay import Relay
from gateway.problems import of_upstream
from gateway.settings import Durability
from gateway.upstream import Answer, UpstreamError, UpstreamSlow
from gateway.upstream.messages import CredentialRefused

if TYPE_CHECKING:
    from gateway.operating.tracing import Trace
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.upstream import Ask
    from registry.catalogue import Credential

NOT_CONNECTED: Final = "not-connected"  # the outcome where the server wants what somebody has to connect first

_encode: Final = msgspec.json.Encoder().encode


class _Peek(msgspec.Struct):
    """What the record says of a result; the result itself is not re-modelled."""

    isError: msgspec.Raw = msgspec.Raw(b"false")  # noqa: N815 - the name on the wire


_peek: Final = msgspec.json.Decoder(_Peek)


async def send(exchange: Exchange, target: Target, ask: Ask, record: str, credential: Credential | None) -> Answer:
    """The answer; its outcome is on record before anybody hears of it."""
    world = exchange.world
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    outcome, started = "cancelled", time.perf_counter()
    facts: dict[str, Any] = {}
    trace = begin_trace(exchange, target, ask) if world.telemetry.traces else None
    world.underway.begin(record, exchange, target)
    try:
        if world.settings.journal_durability is Durability.STRICT:
            await world.journal.durable()
        try:
            answer = await world.upstreams.send(upstream, ask, Relay(exchange, upstream), credential)
        except CredentialRefused as refused:
            if credential is None:
                raise
            answer = await _again(exchange, target, ask, credential, refused)
        outcome = outcome_of(answer)
        if hidden := unseen(answer.result):
            facts["hidden"] = hidden
    except ConnectionNeeded as needed:
        outcome = NOT_CONNECTED
        return connecting.ask_person(exchange, target, ask, needed, connecting.mark(credential))
    except UpstreamError as error:
        outcome = "timeout" if isinstance(error, UpstreamSlow) else "broken"
        facts["trouble"] = str(error.trouble)
        raise of_upstream(error) from error
    finally:
        world.underway.end(record)
        if outcome == "cancelled" and was_recalled(exchange):
            outcome = "revoked"
        world.journal.conclude(record, outcome, **facts)
        world.telemetry.concluded(target.server, outcome, time.perf_counter() - started)
        if trace is not None:
            trace.end(outcome)
    return finished(exchange, target, answer)


async def _again(exchange: Exchange, target: Target, ask: Ask, used: Credential, refused: CredentialRefused) -> Answer:
    """Once more with another credential: the server refused the one it was sent before it looked at the call."""
    world, upstream = exchange.world, exchange.snapshot.catalogue.upstreams[target.server]
    now = world.snapshots.current
    credential = await world.credentials.again(now, upstream, exchange.principal, used, refused, target.object)
    return await world.upstreams.send(upstream, ask, Relay(exchange, upstream), credential)


def was_recalled(exchange: Exchange) -> bool:
    """Whether what let the call begin was revoked, so that it was cancelled; see `gateway.portal.calls.underway`."""
    request = exchange.arrival.request
    return request is not None and request.recalled


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
