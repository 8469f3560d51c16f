"""A task of the extension (SEP-2663) in the words of 2025-11-25."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.wire import join, members_of
from gateway.upstream.legacy.task_words import ENDED, RELATED

if TYPE_CHECKING:
    from gateway.portal.wire import RawMembers

STATUS: Final = "notifications/tasks/status"
CANCELLED: Final = b'{"code":-32603,"message":"The task was cancelled."}'
_RENAMED: Final = {"ttlMs": "ttl", "pollIntervalMs": "pollInterval"}
_INLINE: Final = ("resultType", "result", "error", "inputRequests", "requestState", "_meta")

_encode: Final = msgspec.json.Encoder().encode


class _Result(msgspec.Struct):
    isError: bool = False  # noqa: N815 - the name on the wire


class State(msgspec.Struct):
    """What a client is told of a task, by which we go on."""

    status: str = ""
    lastUpdatedAt: str = ""  # noqa: N815 - the names on the wire
    pollIntervalMs: float | None = None  # noqa: N815
    statusMessage: str = ""  # noqa: N815

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def mark(self) -> tuple[str, str, str]:
        """Another whenever there is something to tell."""
        return self.status, self.lastUpdatedAt, self.statusMessage


def state_of(members: RawMembers) -> State:
    return msgspec.json.decode(join(members), type=State)


def task(members: RawMembers, ttl: int | None) -> bytes:
    """`Task`. A tool that says that it failed has completed since, and had failed before."""
    parts = {_RENAMED.get(name, name): raw for name, raw in members.items() if name not in _INLINE}
    if ttl is not None:
        parts["ttl"] = msgspec.Raw(b"%d" % ttl)
    parts.setdefault("ttl", msgspec.Raw(b"null"))
    if "result" in members and failed(bytes(members["result"])):
        parts["status"] = msgspec.Raw(b'"failed"')
    return join(parts)


def failed(result: bytes) -> bool:
    return b"isError" in result and msgspec.json.decode(result, type=_Result).isError


def related(raw: bytes, ident: str) -> bytes:
    """The same object, saying which task it belongs to ("Associating Task-Related Messages")."""
    parts = members_of(raw)
    meta = members_of(parts.pop("_meta", msgspec.Raw(b"{}")))
    meta[RELATED] = msgspec.Raw(b'{"taskId":%s}' % _encode(ident))
    return join({**parts, "_meta": join(meta)})
