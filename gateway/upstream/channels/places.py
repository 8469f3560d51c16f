"""Where a channel leads, and whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from authz.principals import Principal
    from gateway.upstream.channels import Wire
    from registry.catalogue import Credential, Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What asks that may share a channel agree in.

    `capabilities` are declared when the channel is opened, where its server is a legacy one. A `sleepy` one is let go
    when nobody calls, and not opened again merely to read what its server offers.
    """

    key: Hashable
    whose: Hashable  # the person whose calls go there, whoever acts for them
    server: str
    make: Callable[[], Wire]
    credential: Credential | None
    capabilities: bytes
    idle: float
    most: int  # channels of one server at a time
    shared: bool = False
    legacy: bool = False  # whether its server can be nothing else
    sleepy: bool = False


class Places(Protocol):
    """One kind of channel."""

    def place(
        self, server: Upstream, principal: Principal | None, credential: Credential | None, capabilities: bytes
    ) -> Place:
        """Raises UpstreamError where there is none."""


def person(principal: Principal | None) -> tuple[str, ...]:
    """For whom it is, whoever acts for them; nobody's is the gateway's."""
    return (principal.issuer, principal.subject) if principal is not None else ()


def who(principal: Principal | None) -> tuple[object, ...]:
    """Whose a channel is: a person's own, or an agent's on a person's behalf; nobody's is the gateway's."""
    if principal is None:
        return ()
    actor = principal.actor
    acting = (actor.issuer, actor.subject) if actor is not None else ()
    return (principal.issuer, principal.subject, *acting)
