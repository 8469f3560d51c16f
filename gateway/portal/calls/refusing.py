"""What a caller is told, and the record is, when a call is decided against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.calls import asking
from gateway.problems import REFUSED, Problem
from gateway.upstream import Answer
from registry.tables import Kind

if TYPE_CHECKING:
    from authz.policy.policy import Decision
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange

_encode: Final = msgspec.json.Encoder().encode


def refuse(exchange: Exchange, target: Target, decision: Decision) -> Answer:
    """A visible thing is refused with its reason: in band for tools, so that the model can act on it."""
    note_refusal(exchange, target, decision.word, decision)
    if decision.wider_token_helps or (decision.stronger_token_helps and asking.can_sign_in_again(exchange, decision)):
        raise asking.insufficient_scope(exchange, target, decision)
    if asking.lacks_key(exchange, decision):
        exchange.reply.also(asking.invitation(exchange))
    said = f"{decision.reason} {decision.remedy}".strip()
    return in_band(target, said, {"reason": decision.reason, "remedy": decision.remedy, "decision": decision.id})


def in_band(target: Target, text: str, data: dict[str, str]) -> Answer:
    """A refusal as a result of a tool; prompts and resources have no such thing, so theirs is an error."""
    if target.kind is not Kind.TOOL or target.noun:
        raise Problem(200, REFUSED, text, data=data)
    return Answer(result=tool_error(text, data.get("decision", "")))


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
