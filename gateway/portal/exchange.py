"""One request of a proved principal at one mount, and what it is judged by."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.wire import join, members_of

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.edge import Arrival
    from gateway.portal.reply import Reply
    from gateway.portal.sessions import Session
    from gateway.portal.wire import Message
    from gateway.snapshots import Snapshot
    from gateway.world import World
    from registry.catalog import Mount

# Tasks would need handles that we do not keep; whatever else the client declares, servers may ask of it.
KEPT: Final = 1024  # bytes of capabilities up to which they are remembered
_TASKS: Final = "io.modelcontextprotocol/tasks"


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


def relayable(capabilities: bytes) -> bytes:
    """What a modern client can do, less what we cannot carry. Long ones are made up anew each time: never kept."""
    if capabilities == b"{}":
        return capabilities
    return (_relayable if len(capabilities) <= KEPT else _relayable.__wrapped__)(capabilities)


@lru_cache(maxsize=1024)
def _relayable(capabilities: bytes) -> bytes:
    members = members_of(capabilities)
    if "extensions" in members:
        members["extensions"] = msgspec.Raw(_without_tasks(bytes(members["extensions"])))
    return join(members)


def _without_tasks(extensions: bytes) -> bytes:
    if not extensions.startswith(b"{"):
        return b"{}"
    members = members_of(extensions)
    members.pop(_TASKS, None)
    return join(members)
