"""One request of a proved principal at one mount, and what it is judged by."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.headers import CAPABILITIES_KEY
from gateway.portal.wire import join, members_of
from gateway.problems import MISSING_CAPABILITY, Problem
from gateway.upstream.legacy.parked import ASKABLE
from gateway.upstream.tasks import EXTENSION, METHODS, offers

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.edge import Arrival
    from gateway.portal.calls.plans import Plan
    from gateway.portal.headers import Mirror
    from gateway.portal.legacy.sessions import Session
    from gateway.portal.reply import Reply
    from gateway.portal.wire import Message
    from gateway.snapshots import Snapshot
    from gateway.world import World
    from registry.catalogue import Mount, Upstream

KEPT: Final = 1024  # bytes of capabilities up to which they are remembered
WITH_TASKS: Final = frozenset(("tools/call", *METHODS))


class Found(msgspec.Struct, frozen=True):
    """Who sends a head, to where, and what for, under one snapshot and until then.

    `plans` are of the calls that came with it, by the tool's name and `_meta` (`gateway.portal.calls.plans`).
    """

    snapshot: Snapshot
    principal: Principal
    mount: Mount
    mirror: Mirror
    until: float
    plans: dict[tuple[str, bytes], Plan] = {}


class Exchange(msgspec.Struct):
    """`session` is there for a legacy client that has one; `modern` says which ladder the request climbed."""

    world: World
    snapshot: Snapshot
    mount: Mount
    principal: Principal
    arrival: Arrival
    message: Message
    reply: Reply
    modern: bool
    session: Session | None = None
    log_level: str = ""
    found: Found | None = None  # where its head is one that may come again
    proof: str = ""  # of a token that is bound to a key: what counts once

    @property
    def era(self) -> str:
        return "modern" if self.modern else "legacy"

    @property
    def asker(self) -> dict[str, Any]:
        """For the record: who asks, through what software, and who acts for them."""
        said: dict[str, Any] = {"who": self.principal.label, "client": self.principal.client}
        actors = self.principal.actors
        return said | {"actors": list(actors)} if actors else said


def knows_tasks(exchange: Exchange) -> bool:
    """Whether the client said, on this very request, that it knows tasks (SEP-2663); see `legacy.tasks` for those of
    2025-11-25, which say it by asking for one.
    """
    if not exchange.modern:
        method = exchange.message.method
        return method in METHODS or (method == "tools/call" and exchange.message.value("task") is not None)
    extensions = exchange.message.meta_value(CAPABILITIES_KEY).get("extensions")
    return isinstance(extensions, dict) and EXTENSION in extensions


def check_declared(exchange: Exchange) -> None:
    """For what is there for such clients alone."""
    if not knows_tasks(exchange):
        data: dict[str, Any] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        raise Problem(400, MISSING_CAPABILITY, f"Declare the extension {EXTENSION} with this request.", data=data)


def relayable(capabilities: bytes, server: Upstream, method: str) -> bytes:
    """Of what a modern client can do, what its server may use. Long ones are made up anew each time: never kept."""
    if capabilities == b"{}":
        return capabilities
    tasks = b"tasks" in capabilities and method in WITH_TASKS and offers(server)
    return (_relayable if len(capabilities) <= KEPT else _relayable.__wrapped__)(capabilities, server.allowed, tasks)


@lru_cache(maxsize=1024)
def _relayable(capabilities: bytes, allowed: frozenset[str], tasks: bool) -> bytes:
    members = {name: raw for name, raw in members_of(capabilities).items() if name not in ASKABLE or name in allowed}
    if "extensions" in members and not tasks:
        members["extensions"] = msgspec.Raw(_without_tasks(bytes(members["extensions"])))
    return join(members)


def _without_tasks(extensions: bytes) -> bytes:
    if not extensions.startswith(b"{"):
        return b"{}"
    members = members_of(extensions)
    members.pop(EXTENSION, None)
    return join(members)
