"""`notifications/tasks` on a stream of changes (SEP-2663): what becomes of the tasks that a client names.

Servers may send such notifications and need not; those of 2025-11-25 know others. So each task is looked at as often as
its server asks for, and when it says that there is news, as the client would look itself: decided and recorded each
time, in both eras alike.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from gateway.journal import JournalDown
from gateway.portal.calls import call
from gateway.portal.calls.asking import PROGRESS_TOKEN
from gateway.portal.calls.targets import TARGETS, decided, invalid
from gateway.portal.exchange import knows_tasks
from gateway.portal.headers import LOG_LEVEL_KEY
from gateway.portal.listening import hints
from gateway.portal.wire import Message, members_of
from gateway.problems import Problem
from gateway.upstream.legacy.task_words import ENDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.portal.exchange import Exchange

MOST: Final = 20  # tasks that one stream may follow
METHOD: Final = "notifications/tasks"
POLL: Final = 5.0  # seconds, unless the server names a time
SHORTEST: Final = 1.0
LONGEST: Final = 60.0
_NOT_HERE: Final = frozenset((PROGRESS_TOKEN, LOG_LEVEL_KEY))  # a stream of changes carries neither (SEP-2575)

_encode: Final = msgspec.json.Encoder().encode


class Stream(Protocol):
    """What is followed on, as far as it matters here."""

    exchange: Exchange

    async def say(self, method: str, params: dict[str, Any]) -> None:
        """Put a notification on it."""


class _State(msgspec.Struct):
    status: str = ""
    lastUpdatedAt: str = ""  # noqa: N815 - the names on the wire
    pollIntervalMs: float | None = None  # noqa: N815


def wished(exchange: Exchange, wish: dict[str, Any]) -> tuple[str, ...]:
    """Of the tasks that a client wants to hear of, those that are its own and may be told of."""
    idents = wish.get("taskIds") or []
    if type(idents) is not list or len(idents) > MOST or any(type(ident) is not str for ident in idents):
        raise invalid(f"taskIds must be at most {MOST} ids.")
    return tuple(ident for ident in idents if _may_look(exchange, ident)) if knows_tasks(exchange) else ()


@asynccontextmanager
async def following(stream: Stream, idents: tuple[str, ...]) -> AsyncIterator[None]:
    """Tells of each task while the block runs."""
    looking = [asyncio.create_task(_follow(stream, ident)) for ident in idents]
    try:
        yield
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


async def _follow(stream: Stream, ident: str) -> None:
    """Tells of each change until the task has ended, or is not there for this client any more."""
    told = _State()
    async with hints.of(stream.exchange, ident) as hint:
        while state := await _seen(stream, ident, told):
            told = state
            pause = POLL if state.pollIntervalMs is None else state.pollIntervalMs / 1000
            await hint.wait(min(max(pause, SHORTEST), LONGEST))


async def _seen(stream: Stream, ident: str, told: _State) -> _State | None:
    """What becomes of it now, told if that is new; None where there will be nothing more to tell."""
    try:
        answer = await call.call(_look(stream.exchange, ident))
    except (Problem, JournalDown):
        return None
    if not answer.result:
        return None
    state = msgspec.json.decode(answer.result, type=_State)
    if (state.status, state.lastUpdatedAt) != (told.status, told.lastUpdatedAt):
        members = members_of(answer.result)
        members.pop("resultType", None)
        await stream.say(METHOD, dict(members))
    return None if state.status in ENDED else state


def _may_look(exchange: Exchange, ident: str) -> bool:
    look = _look(exchange, ident)
    try:
        target = TARGETS["tasks/get"](look)
    except Problem:
        return False
    return target.entry is not None and bool(decided(look, target))


def _look(exchange: Exchange, ident: str) -> Exchange:
    """The client's own look at the task, as it would come with a request."""
    message = exchange.message
    seen = message.tree["params"]["_meta"]
    meta = {name: value for name, value in seen.items() if name not in _NOT_HERE}
    raw = {name: value for name, value in message.meta.items() if name not in _NOT_HERE}
    tree = {**message.tree, "method": "tasks/get", "params": {"taskId": ident, "_meta": meta}}
    params = {"taskId": msgspec.Raw(_encode(ident))}
    return replace(exchange, message=Message(message.id, "tasks/get", params, raw, tree, has_meta=True))
