"""Asking one server once, outside a serving process: for a command, and for the demo's first start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials.holding import Credentials
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream.connections import open_upstreams
from gateway.upstream.refresh import refresh

if TYPE_CHECKING:
    from gateway.office import Office


async def refresh_once(office: Office, slug: str, *, who: str) -> None:
    """Reads the server and stores what it offers, or why it could not be read."""
    upstreams = open_upstreams(office, MemoryRendezvous())
    try:
        await refresh(office, upstreams, Credentials(office), slug, who=who)
    finally:
        await upstreams.close()
