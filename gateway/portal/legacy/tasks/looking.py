"""A look at one task: decided by what holds then, recorded, and sent as one of a client that knows the extension is.

What we keep ourselves is decided and recorded as well, and nothing leaves.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from gateway.portal import handles
from gateway.portal.calls import call
from gateway.portal.calls.refusing import refuse
from gateway.portal.calls.targets import invalid
from gateway.portal.lasting import judged_by
from gateway.portal.wire import Message, RawMembers, members_of
from gateway.problems import INTERNAL_ERROR, Problem, unavailable
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.portal.handles import Handle
    from gateway.upstream import Answer

TOLD_LIFE: Final = 3600.0  # seconds for which is known what was told

_encode: Final = msgspec.json.Encoder().encode


class Failed(Exception):
    """A server answered a look with an error, which is the client's answer too."""

    def __init__(self, error: bytes) -> None:
        super().__init__("the look was answered with an error")
        self.error = error


class Task(msgspec.Struct, frozen=True):
    """A task as its client names it; no handle where it is none of theirs."""

    ident: str
    handle: Handle | None

    @property
    def ttl(self) -> int | None:
        return self.handle.ttl if self.handle is not None else None

    @property
    def kept(self) -> str:
        """The name of the result that we keep, if there is one."""
        return self.handle.kept if self.handle is not None else ""


def named(exchange: Exchange, ident: object) -> Task:
    if type(ident) is not str:
        raise invalid("params.taskId must be a string.")
    return Task(ident, handles.opened(exchange, ident))


async def look(exchange: Exchange, task: Task) -> RawMembers:
    """What its server says of it now. Raises Problem, or Failed."""
    members = members_of(await ask(exchange, "tasks/get", task.ident))
    if not await _was_cancelled(exchange, task):
        return members
    gone = {name: raw for name, raw in members.items() if name not in {"result", "error", "inputRequests"}}
    return gone | {"status": msgspec.Raw(b'"cancelled"')}


async def ask(exchange: Exchange, method: str, ident: str, **more: bytes) -> bytes:
    """The result of one call about a task, in the words of the extension."""
    answer: Answer = await call.call(about(exchange, method, ident, **more))
    if answer.error:
        raise Failed(answer.error)
    return answer.result


def note_kept(exchange: Exchange, task: Task) -> None:
    """A look at what we keep is judged and on record like any other, though nothing leaves. Raises Problem."""
    asked = about(exchange, "tasks/get", task.ident)
    target = call.find(asked)
    decision = call.decide(asked, target)
    if not decision:
        refuse(asked, target, decision)
    exchange.world.journal.note(
        "task.read",
        **exchange.asker,
        portal=exchange.mount.portal,
        method=exchange.message.method,
        object=target.object,
        decision=decision.id,
        rule=decision.rule,
        epoch=exchange.snapshot.epoch,
        request_id=exchange.arrival.request_id,
        era=exchange.era,
    )


def about(exchange: Exchange, method: str, ident: str, **more: bytes) -> Exchange:
    """The request of the extension that stands for what the client asked."""
    params: RawMembers = {"taskId": msgspec.Raw(_encode(ident))}
    params |= {name: msgspec.Raw(raw) for name, raw in more.items()}
    tree = {**exchange.message.tree, "method": method, "params": {"taskId": ident}}
    return replace(exchange, message=Message(exchange.message.id, method, params, {}, tree))


def now(exchange: Exchange) -> Exchange:
    """The same request, judged by what holds by now."""
    judged = judged_by(exchange, exchange.world.snapshots.current, in_time=False)
    if judged is None:
        raise Problem(200, INTERNAL_ERROR, "What this was allowed by was taken back meanwhile.")
    return judged


async def mark_cancelled(exchange: Exchange, task: Task) -> None:
    """It stays cancelled ("Task Cancellation", 3), whatever its server makes of that: in the extension it may go on."""
    until = task.handle.until if task.handle is not None else 0
    try:
        await exchange.world.rendezvous.put(_cancelled(task), b"1", max(1.0, until - time.time()))
    except RendezvousDown as error:
        raise unavailable("The cancellation cannot be kept; try again.") from error


async def first_to_tell(exchange: Exchange, task: Task, mark: tuple[str, str, str]) -> bool:
    """Whether nobody has told of this yet: a message goes out on one stream (2025-11-25, "Multiple Connections")."""
    key = sha256(msgspec.json.encode((task.ident, mark))).hexdigest()[:32]
    try:
        return await exchange.world.rendezvous.add(f"task-told/{key}", b"1", TOLD_LIFE)
    except RendezvousDown:
        return False  # whoever wants to know asks


async def _was_cancelled(exchange: Exchange, task: Task) -> bool:
    try:
        return await exchange.world.rendezvous.get(_cancelled(task)) is not None
    except RendezvousDown as error:
        raise unavailable("The task cannot be looked up; try again.") from error


def _cancelled(task: Task) -> str:
    return f"task-cancelled/{sha256(task.ident.encode()).hexdigest()[:32]}"
