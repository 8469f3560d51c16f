"""The spine: what happens to one call, from a parsed message to its answer.

find → decide → intend → send → conclude. tools/call, prompts/get, resources/read and completion/complete share it;
everything that may leave for a server on a principal's behalf passes here and nowhere else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.ids import fresh_id
from authz.policy.decisions import Action
from gateway.portal import asking, rounds
from gateway.portal.relay import Relay
from gateway.portal.targets import TARGETS, Target, decided, unknown
from gateway.portal.unseen import unseen
from gateway.portal.wire import join, members_of
from gateway.problems import REFUSED, Problem, of_upstream
from gateway.settings import Durability
from gateway.upstream import Answer, UpstreamError, UpstreamSlow
from registry.tables import Auth, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from authz.policy.policy import Decision
    from gateway.operating.tracing import Trace
    from gateway.portal.exchange import Exchange
    from gateway.upstream import Ask
    from registry.catalog import Upstream

METHODS: Final = frozenset(TARGETS)

_encode: Final = msgspec.json.Encoder().encode


class _Peek(msgspec.Struct):
    """What the record says of a result; the result itself is not re-modelled."""

    isError: msgspec.Raw = msgspec.Raw(b"false")  # noqa: N815 - the name on the wire


_peek: Final = msgspec.json.Decoder(_Peek)


def call(exchange: Exchange) -> Awaitable[Answer]:
    """The answer to a call, or Problem. The record has an entry for it whatever happens.

    All that comes before the call leaves is done at once; what is given back is awaited at once too.
    """
    target = find(exchange)
    decision = decide(exchange, target)
    check_reachable(exchange, target)  # not before: that a server is down would tell that it is there
    if not decision:
        return _refused(exchange, target, decision)
    ask = asking.prepare(exchange, target)
    if rounds.STATE in ask.params:
        return _resumed(exchange, target, ask, decision)
    return send(exchange, target, ask, intend(exchange, target, decision))


async def _refused(exchange: Exchange, target: Target, decision: Decision) -> Answer:
    return refuse(exchange, target, decision)


async def _resumed(exchange: Exchange, target: Target, ask: Ask, decision: Decision) -> Answer:
    """A further round: the state that its server left with the client is looked at before anything else."""
    try:
        await rounds.unwrap(exchange, target, ask)
    except Problem:
        note_refusal(exchange, target, "state", decision)
        raise
    return await send(exchange, target, ask, intend(exchange, target, decision))


def for_one(answer: Answer) -> Answer:
    """What was read may depend on who read it, whatever its server says: no cache may show it to anybody else."""
    if not answer.result or rounds.asks_back(answer):
        return answer
    members = members_of(answer.result)
    if members.get("ttlMs") is not None and bytes(members.get("cacheScope", b"")) == b'"private"':
        return answer
    members.setdefault("ttlMs", msgspec.Raw(b"0"))
    members["cacheScope"] = msgspec.Raw(b'"private"')
    return Answer(result=join(members))


def find(exchange: Exchange) -> Target:
    """The definition asked for; absent, unapproved and drifted are one and the same to the caller."""
    target = TARGETS[exchange.message.method](exchange)
    if target.entry is None:
        note_refusal(exchange, target, "unknown")
        raise unknown(target)
    return target


def check_reachable(exchange: Exchange, target: Target) -> None:
    """Said only to whoever may see what is asked for."""
    upstream = exchange.snapshot.catalogue.upstreams[target.server]
    if is_stale(upstream, exchange.world.settings.stale_limit):
        note_refusal(exchange, target, "stale")
        raise Problem(502, -32603, f"The server {upstream.title or upstream.slug} has not been reachable for a while.")


def is_stale(upstream: Upstream, limit: float) -> bool:
    """Whether a server has failed for longer than its last good definitions are trusted."""
    return upstream.stale_since is not None and time.time() - upstream.stale_since > limit


def decide(exchange: Exchange, target: Target) -> Decision:
    """Policy's word. What the principal may not even see does not exist for it."""
    policy, mount = exchange.snapshot.policy, exchange.mount
    decision = decided(exchange, target)
    exchange.world.telemetry.decided(decision.allowed)
    if decision or decision.wider_token_helps or decision.stronger_token_helps:
        return decision
    seeing = target.action.seeing
    if seeing is target.action or not policy.decide(exchange.principal, mount.portal, target.object, seeing):
        note_refusal(exchange, target, "invisible", decision)
        raise unknown(target)
    return decision


def refuse(exchange: Exchange, target: Target, decision: Decision) -> Answer:
    """A visible thing is refused with its reason: in band for tools, so that the model can act on it."""
    note_refusal(exchange, target, decision.word, decision)
    if decision.wider_token_helps or (decision.stronger_token_helps and asking.can_sign_in_again(exchange, decision)):
        raise asking.insufficient_scope(exchange, target, decision)
    if asking.lacks_key(exchange, decision):
        exchange.reply.also(asking.invitation(exchange))
    if target.kind is not Kind.TOOL:
        data = {"reason": decision.reason, "remedy": decision.remedy, "decision": decision.id}
        raise Problem(200, REFUSED, f"{decision.reason} {decision.remedy}".strip(), data=data)
    return Answer(result=tool_error(f"{decision.reason} {decision.remedy}".strip(), decision.id))


def tool_error(text: str, decision: str = "") -> bytes:
    """A result that tells the model what went wrong (MCP, Tools, "Error handling")."""
    result: dict[str, Any] = {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": True}
    if decision:
        result["_meta"] = {"dev.ostiary/decision": decision}
    return _encode(result)


def note_refusal(exchange: Exchange, target: Target, reason: str, decision: Decision | None = None) -> None:
    exchange.world.journal.note(
        "call.refused",
        **exchange.asker,
        method=exchange.message.method,
        object=target.object or target.name[:200],
        portal=exchange.mount.portal,
        reason=str(reason),
        decision=decision.id if decision is not None else "",
        rule=decision.rule if decision is not None else "",
        epoch=exchange.snapshot.epoch,
        request_id=exchange.arrival.request_id,
        era=exchange.era,
    )


def intend(exchange: Exchange, target: Target, decision: Decision) -> str:
    """On record before anything leaves; gives the id that the outcome repeats."""
    record = fresh_id()
    exchange.world.journal.intend(
        exchange.principal,
        call=record,
        method=exchange.message.method,
        server=target.server,
        object=target.object,
        arguments=target.arguments,
        decision=decision.id,
        rule=decision.rule,
        epoch=exchange.snapshot.epoch,
        portal=exchange.mount.portal,
        request_id=exchange.arrival.request_id,
        era=exchange.era,
    )
    return record


async def send(exchange: Exchange, target: Target, ask: Ask, record: str) -> Answer:
    """Over to the server and back; its outcome is on record before anybody hears of it."""
    world, snapshot = exchange.world, exchange.snapshot
    upstream = snapshot.catalogue.upstreams[target.server]
    outcome, hidden, started = "cancelled", 0, time.perf_counter()
    trace = begin_trace(exchange, target, ask) if world.telemetry.traces else None
    world.underway.begin(record, exchange, target)
    try:
        if world.settings.journal_durability is Durability.STRICT:
            await world.journal.durable()
        credential = world.credentials.at_hand(snapshot, upstream, exchange.principal)
        if credential is None and upstream.auth is not Auth.NONE:
            credential = await world.credentials.obtain(upstream, exchange.principal, target.object)
        answer = await world.upstreams.send(upstream, ask, Relay(exchange, upstream), credential)
        outcome, hidden = outcome_of(answer), unseen(answer.result)
    except UpstreamError as error:
        outcome = "timeout" if isinstance(error, UpstreamSlow) else "broken"
        raise of_upstream(error) from error
    finally:
        world.underway.end(record)
        if outcome == "cancelled" and was_recalled(exchange):
            outcome = "revoked"
        world.journal.conclude(record, outcome, **({"hidden": hidden} if hidden else {}))
        world.telemetry.concluded(target.server, outcome, time.perf_counter() - started)
        if trace is not None:
            trace.end(outcome)
    return rounds.wrap(exchange, target, for_one(answer) if target.action is Action.READ else answer)


def was_recalled(exchange: Exchange) -> bool:
    """Whether the call was cancelled because what let it begin has been revoked; see `gateway.portal.underway`."""
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
