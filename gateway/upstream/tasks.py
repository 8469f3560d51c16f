"""Which servers run calls as tasks: by the extension of 2026-07-28 (SEP-2663), or in the way of 2025-11-25."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.upstream.messages import joined, members
from registry.tables import Era

if TYPE_CHECKING:
    from registry.catalogue import Entry, Upstream

EXTENSION: Final = "io.modelcontextprotocol/tasks"
METHODS: Final = frozenset(("tasks/get", "tasks/update", "tasks/cancel"))
FORBIDDEN: Final = "forbidden"
OPTIONAL: Final = "optional"
REQUIRED: Final = "required"
MISSING: Final = msgspec.json.encode(
    {
        "code": -32021,
        "message": "This takes longer than a call may: declare the extension for tasks, and it becomes one.",
        "data": {"requiredCapabilities": {"extensions": {EXTENSION: {}}}},
    }
)


class _Execution(msgspec.Struct, frozen=True):
    taskSupport: str = FORBIDDEN  # noqa: N815 - the name on the wire


class _Tool(msgspec.Struct):
    execution: _Execution = _Execution()


_tool: Final = msgspec.json.Decoder(_Tool)


def offers(server: Upstream) -> bool:
    """Whether a call of a tool there can become a task."""
    if server.era is Era.MODERN:
        extensions = server.capabilities.get("extensions")
        return isinstance(extensions, dict) and EXTENSION in extensions
    node = server.capabilities.get("tasks")
    for name in ("requests", "tools", "call"):
        node = node.get(name) if isinstance(node, dict) else None
    return node is not None


def support(entry: Entry | None) -> str:
    """What a tool of 2025-11-25 says of itself: it must be, may be, or cannot be run as a task."""
    if entry is None or b"taskSupport" not in entry.raw:
        return FORBIDDEN
    return _support(entry.raw)


@lru_cache(maxsize=4096)
def _support(definition: bytes) -> str:
    try:
        return _tool.decode(definition).execution.taskSupport
    except msgspec.DecodeError:
        return FORBIDDEN


def supported(server: Upstream, entry: Entry | None) -> str:
    """The same of what can be had here: of a server of 2026-07-28 any tool may become a task, as the server decides."""
    if not offers(server):
        return FORBIDDEN
    return OPTIONAL if server.era is Era.MODERN else support(entry)


@lru_cache(maxsize=1024)
def declaring(capabilities: bytes) -> bytes:
    """The same capabilities, with the extension."""
    parts = members(capabilities)
    extensions = members(parts.get("extensions", msgspec.Raw(b"{}")))
    return joined({**parts, "extensions": joined({**extensions, EXTENSION: b"{}"})})


def undeclaring(capabilities: bytes) -> bytes:
    """The same capabilities, without the extension."""
    return capabilities if EXTENSION.encode() not in capabilities else _undeclaring(capabilities)


@lru_cache(maxsize=1024)
def _undeclaring(capabilities: bytes) -> bytes:
    parts = members(capabilities)
    extensions = members(parts.pop("extensions", msgspec.Raw(b"{}")))
    extensions.pop(EXTENSION, None)
    return joined({**parts, "extensions": joined(extensions)} if extensions else parts)
