"""A server that has gone to another authorization server: what the one before gave is good there no more (SEP-2352)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.finding.discovery import configured_issuer

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream

MOVED: Final = "the server takes tokens of another authorization server now; connect it again"


def has_moved(equipment: Equipment, upstream: Upstream, issuer: str, *, fresh: bool = True) -> bool:
    """Whether the server names others than the `issuer` that tokens are of. Nothing is sent to any of them.

    One that cannot be asked just now, or speaks of something else, is where it was.
    """
    configured = configured_issuer(upstream)
    if configured:
        return configured != issuer
    equipment = equipment.toward(upstream)
    try:
        return issuer not in equipment.discovery.resource(equipment.fetcher, upstream, fresh=fresh).issuers
    except (Refused, Unanswered):
        return False
