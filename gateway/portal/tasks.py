"""Calls that go on as tasks (extension io.modelcontextprotocol/tasks, SEP-2663).

The server decides that a call becomes one; the client asks for its state, answers its questions and may cancel it.
Each of these is a call of its own: decided by what holds then for the tool, recorded, and sent with the credential of
whoever asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal import handles
from gateway.portal.answers import screening
from gateway.portal.exchange import knows_tasks
from gateway.portal.wire import join, members_of
from gateway.problems import INTERNAL_ERROR, REFUSED, Problem
from gateway.upstream import Answer
from gateway.upstream.legacy.task_words import ENDED

if TYPE_CHECKING:
    from gateway.portal.calls.targets import Target
    from gateway.portal.exchange import Exchange
    from gateway.portal.wire import RawMembers
    from registry.catalogue import Credential

_NOT_OF_A_TASK: Final = ("requestState", "result", "error", "inputRequests")  # of the result that begins one

_encode: Final = msgspec.json.Encoder().encode


class _Begun(msgspec.Struct):
    taskId: str  # noqa: N815 - the name on the wire
    ttlMs: Any = None  # noqa: N815


def begun(exchange: Exchange, target: Target, answer: Answer, credential: Credential | None) -> Answer:
    """A call has become a task: its id goes on sealed, and to nobody who did not say that they know tasks."""
    if not knows_tasks(exchange):
        raise Problem(502, INTERNAL_ERROR, "The server began a task for a client that knows no tasks.")
    try:
        said = msgspec.json.decode(answer.result, type=_Begun)
    except msgspec.DecodeError as error:
        raise Problem(502, INTERNAL_ERROR, "The server began a task without an id.") from error
    members = members_of(answer.result)
    ttl = said.ttlMs
    if not exchange.modern:
        ttl = agreed(exchange, ttl)
        members["ttlMs"] = msgspec.Raw(_encode(ttl))
    ident = handles.seal(exchange, handles.of(target, said.taskId, ttl, handles.bond(exchange, credential)))
    for name in _NOT_OF_A_TASK:
        members.pop(name, None)
    members["taskId"] = msgspec.Raw(_encode(ident))
    exchange.world.underway.tasks.begin(exchange, ident, credential)
    return Answer(result=join(members))


def agreed(exchange: Exchange, said: object) -> int | None:
    """How many milliseconds it is kept: not longer than its client asked for (2025-11-25, Tasks, "TTL")."""
    asked = exchange.message.value("task").get("ttl")
    known = [ttl for ttl in (asked, said) if isinstance(ttl, int)]
    return min(known) if known else None


def told(exchange: Exchange, target: Target, answer: Answer, credential: Credential | None) -> Answer:
    """What a server says of a task, under the id that the client knows, with its questions as they may be put."""
    members = members_of(answer.result)
    if "taskId" not in members:
        return answer  # an acknowledgement
    _note(exchange, members, credential)
    members["taskId"] = exchange.message.params["taskId"]
    members["resultType"] = msgspec.Raw(b'"complete"')  # some examples of the extension have another
    members.pop("requestState", None)
    if "inputRequests" in members:
        _put(exchange, target, members)
    return Answer(result=join(members))


def _note(exchange: Exchange, members: RawMembers, credential: Credential | None) -> None:
    """Another process may have begun it; and once it has ended there is nothing to end."""
    ident, running = exchange.message.value("taskId"), exchange.world.underway.tasks
    if bytes(members.get("status", b""))[1:-1].decode() in ENDED:
        running.end(ident)
    else:
        running.begin(exchange, ident, credential)


def _put(exchange: Exchange, target: Target, members: RawMembers) -> None:
    server = exchange.snapshot.catalogue.upstreams[target.server]
    asked, refused = screening.put(exchange, server, bytes(members["inputRequests"]))
    if refused:
        raise Problem(200, REFUSED, f"{refused} The task waits for it in vain: cancel it.", data={"reason": refused})
    members["inputRequests"] = msgspec.Raw(asked)
