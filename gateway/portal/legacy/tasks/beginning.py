"""A call that its client wants as a task: `tools/call` with `params.task` (2025-11-25, Tasks, "Creating Tasks").

What may become one becomes one, whatever its server makes of it: a server of 2026-07-28 may answer at once, and what it
answered is then kept here, as long as its client may ask for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from gateway.portal import handles
from gateway.portal.calls.refusing import note_refusal
from gateway.portal.calls.targets import TARGETS, invalid
from gateway.portal.legacy import down, turns
from gateway.portal.legacy.tasks import announcing, book, words
from gateway.portal.tasks import agreed
from gateway.portal.wire import join, members_of
from gateway.problems import INTERNAL_ERROR, METHOD_NOT_FOUND, REFUSED, Problem
from gateway.upstream import Answer
from gateway.upstream.legacy.task_words import TTL_MS
from gateway.upstream.tasks import FORBIDDEN, supported
from registry.tables import Era

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.portal.wire import Message

WISH: Final = "task"
DECISION: Final = "dev.ostiary/decision"

_encode: Final = msgspec.json.Encoder().encode


async def begin(exchange: Exchange) -> Answer:
    """`CreateTaskResult`. Where no tool is run as a task nothing of tasks was said, so the wish is passed over."""
    assert exchange.session is not None
    if not announcing.has_tasks(exchange, exchange.session.version):
        return down.answer(exchange, await turns.call_until_answered(_without(exchange)))
    ttl = _ttl(exchange)
    target = TARGETS["tools/call"](exchange)
    _check(exchange, target)
    await book.lines(exchange)  # what cannot be written down afterwards is better not begun
    asking = _wishing(exchange, target, ttl)
    answer = await turns.call_until_answered(asking)
    return down.answer(exchange, answer) if answer.error else await _become(asking, target, answer)


async def _become(exchange: Exchange, target: Target, answer: Answer) -> Answer:
    members = members_of(answer.result)
    if bytes(members.get("resultType", b"")) != b'"task"':
        return await _kept(exchange, target, down.answer(exchange, answer).result)
    ident: str = msgspec.json.decode(members["taskId"])
    handle = handles.opened(exchange, ident)
    if handle is not None:  # or its time was over at once
        await book.enter(exchange, ident, handle.until)
    return _created(words.task(members, None))


def _ttl(exchange: Exchange) -> int | None:
    wish = exchange.message.value(WISH)
    ttl = wish.get("ttl") if type(wish) is dict else None
    if type(wish) is not dict or (ttl is not None and (type(ttl) not in {int, float} or ttl < 0)):
        raise invalid("params.task must be an object, and its ttl a number of milliseconds.")
    return None if ttl is None else int(min(ttl, TTL_MS))


def _check(exchange: Exchange, target: Target) -> None:
    """What "Tool-Level Negotiation" asks of servers. Of what its client does not see, the call says: unknown."""
    entry = target.entry
    if entry is None or not announcing.sees(exchange, entry):
        return
    if supported(exchange.snapshot.catalogue.upstreams[entry.server], entry) == FORBIDDEN:
        note_refusal(exchange, target, "no-task")
        raise Problem(200, METHOD_NOT_FOUND, f"{target.name[:128]} cannot be run as a task; call it without one.")


def _without(exchange: Exchange) -> Exchange:
    return replace(exchange, message=_said(exchange.message, None, leaves=False))


def _wishing(exchange: Exchange, target: Target, ttl: int | None) -> Exchange:
    """The call as it goes on: only a server of that revision hears how long its task should be kept."""
    legacy = bool(target.server) and exchange.snapshot.catalogue.upstreams[target.server].era is Era.LEGACY
    wish = {"ttl": TTL_MS if ttl is None else ttl} if legacy else {} if ttl is None else {"ttl": ttl}
    return replace(exchange, message=_said(exchange.message, wish, leaves=legacy))


def _said(message: Message, wish: dict[str, Any] | None, *, leaves: bool) -> Message:
    params = {name: raw for name, raw in message.params.items() if name != WISH}
    seen = {name: value for name, value in message.tree["params"].items() if name != WISH}
    if wish is not None:
        seen[WISH] = wish
    if leaves:
        params[WISH] = msgspec.Raw(_encode(wish))
    return replace(message, params=params, tree={**message.tree, "params": seen})


async def _kept(exchange: Exchange, target: Target, result: bytes) -> Answer:
    """A task of ours, which has ended already: its call was answered at once. What we refused never began."""
    _raise_refusal(result)
    if len(result) > book.RESULT_MOST:
        raise Problem(200, INTERNAL_ERROR, "The answer came at once and is too large to be kept; call without a task.")
    ttl = agreed(exchange, book.KEPT_LIFE_MS) or 0
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = await book.keep(exchange, result, at, ttl)
    handle = handles.of(target, "", ttl, handles.bond(exchange, None), name)
    ident = handles.seal(exchange, handle)
    await book.enter(exchange, ident, handle.until, name, len(result))
    return _created(_state(ident, "working", at, ttl))  # as every task begins ("Task Status Lifecycle", 1)


def state(ident: str, kept: book.Kept, ttl: int | None) -> bytes:
    """`Task` of what we keep."""
    return _state(ident, "failed" if words.failed(kept.result) else "completed", kept.at, ttl)


def _state(ident: str, status: str, at: str, ttl: int | None) -> bytes:
    return _encode({"taskId": ident, "status": status, "createdAt": at, "lastUpdatedAt": at, "ttl": ttl})


def _raise_refusal(result: bytes) -> None:
    """A refusal of ours is words in a result where a result is awaited; here a task is, so it is an error."""
    if DECISION.encode() not in result:
        return
    said = msgspec.json.decode(result)
    decision = (said.get("_meta") or {}).get(DECISION)
    if decision and said.get("isError") and said.get("content"):
        reason = said["content"][0].get("text", "")
        raise Problem(200, REFUSED, reason, data={"reason": reason, "decision": decision})


def _created(task: bytes) -> Answer:
    return Answer(result=join({"task": task}))
