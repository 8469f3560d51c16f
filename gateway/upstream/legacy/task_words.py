"""Tasks of 2025-11-25 in the words of the extension that took their place (SEP-2663), and asks about them.

A task's id at this seam holds what was declared to its server when it began: a server of that revision knows a task in
the session that began it, and sessions differ by that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from gateway.upstream import Answer, UpstreamBroken
from gateway.upstream.messages import joined, members, read
from gateway.upstream.tasks import EXTENSION

if TYPE_CHECKING:
    from gateway.upstream import Ask

ENDED: Final = frozenset(("completed", "failed", "cancelled"))
RELATED: Final = "io.modelcontextprotocol/related-task"
TTL_MS: Final = 24 * 3600 * 1000
UNKNOWN: Final = b'{"code":-32602,"message":"Unknown task"}'
ACKNOWLEDGED: Final = Answer(result=b'{"resultType":"complete"}')
_RENAMED: Final = {"ttl": "ttlMs", "pollInterval": "pollIntervalMs"}

_encode: Final = msgspec.json.Encoder().encode


class Task(msgspec.Struct):
    """What a server of 2025-11-25 says of one."""

    taskId: str  # noqa: N815 - the names on the wire
    status: str
    pollInterval: float | None = None  # noqa: N815


class _Created(msgspec.Struct):
    task: Raw = Raw()


class _Id(msgspec.Struct, array_like=True):
    task: str
    declared: str


def knows_tasks(ask: Ask) -> bool:
    """Whether the client that asks said that it knows the extension."""
    if EXTENSION.encode() not in ask.capabilities:
        return False
    return EXTENSION in members(members(ask.capabilities).get("extensions", Raw(b"{}")))


def as_task(ask: Ask) -> Ask:
    """The same call, to be begun as a task. A client of that revision says for how long it wants it kept."""
    wish = ask.params.get("task") if ask.legacy_session else None
    return replace(ask, params={**ask.params, "task": wish or b'{"ttl":%d}' % TTL_MS})


def without_wish(ask: Ask) -> Ask:
    """The same call, to be begun as no task, whatever its client said: it would not know what to make of one."""
    if "task" not in ask.params or ask.method != "tools/call":
        return ask
    return replace(ask, params={name: raw for name, raw in ask.params.items() if name != "task"})


def about(ask: Ask, method: str, task: str) -> Ask:
    """What is asked of a task's server in place of `ask`."""
    return replace(ask, method=method, name="", params={"taskId": _encode(task)}, progress=False, param_headers=())


def created(answer: Answer) -> bytes:
    """The task that a call has become; empty when it has not."""
    if not answer.result:
        return b""
    found: _Created = read(answer.result, _Created)
    return bytes(found.task)


def task_of(raw: bytes) -> Task:
    return read(raw, Task)  # type: ignore[no-any-return]


def packed(task: str, declared: bytes) -> str:
    return _encode(_Id(task, declared.decode())).decode()


def unpacked(ask: Ask) -> tuple[str, bytes]:
    """The server's own id, and what had been declared to it."""
    try:
        found = msgspec.json.decode(msgspec.json.decode(ask.params["taskId"], type=str), type=_Id)
    except msgspec.DecodeError as error:
        raise UpstreamBroken("this is no task of a server of that revision") from error
    return found.task, found.declared.encode()


def own_id(packed_id: str) -> str:
    """What the server calls a task that is known at this seam by that."""
    return msgspec.json.decode(packed_id, type=_Id).task


def begun(raw: bytes, declared: bytes) -> Answer:
    """CreateTaskResult of the extension."""
    parts = _modern(raw)
    parts["taskId"] = Raw(_encode(packed(task_of(raw).taskId, declared)))
    return Answer(result=joined({"resultType": b'"task"', **parts}))


def detail(raw: bytes, **more: bytes) -> Answer:
    """DetailedTask; what is in `more` takes the place of what the server said."""
    return Answer(result=joined({"resultType": b'"complete"', **_modern(raw), **more}))


def without_relation(answer: Answer) -> Answer:
    """A result does not say any more which task it is of."""
    return answer if RELATED.encode() not in answer.result else Answer(result=unrelated(answer.result))


def unrelated(raw: bytes) -> bytes:
    """The same object, without the server's own name of the task that it belongs to: nobody else knows it by that."""
    if RELATED.encode() not in raw:
        return raw
    parts = members(raw)
    meta = members(parts.pop("_meta", Raw(b"{}")))
    meta.pop(RELATED, None)
    return joined({**parts, "_meta": joined(meta)} if meta else parts)


def _modern(raw: bytes) -> dict[str, Raw]:
    parts = members(raw)
    parts.pop("_meta", None)
    parts.pop("resultType", None)
    for name in ("ttl", "pollInterval"):
        if name in parts:
            parts[_RENAMED[name]] = parts.pop(name)
    parts.setdefault("ttlMs", Raw(b"null"))
    return parts
