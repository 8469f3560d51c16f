"""Asking one server once, outside a serving process: for a command, and for the demo's first start."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.credentials import CredentialUnavailable
from gateway.credentials.holding import Credentials
from gateway.rendezvous.memory import MemoryRendezvous
from gateway.upstream import UpstreamError
from gateway.upstream.connections import open_upstreams
from gateway.upstream.refreshing.refresh import reach, refresh
from registry.database import Concern
from registry.errors import AddressRefused
from registry.servers import find
from registry.tables import Transport

if TYPE_CHECKING:
    from gateway.office import Office
    from gateway.upstream.upstreams import Upstreams


async def refresh_once(office: Office, slug: str, *, who: str) -> None:
    """Reads the server and stores what it offers, or why it could not be read."""
    upstreams = open_upstreams(office, MemoryRendezvous())
    try:
        await refresh(office, upstreams, Credentials(office), slug, who=who)
    finally:
        await upstreams.close()


async def read_first(office: Office, slug: str, *, who: str) -> None:
    """The same for a server of which nobody said how it is reached.

    One that answers neither a modern nor a legacy request over streamable HTTP may speak HTTP+SSE (2025-11-25,
    transports, backward compatibility).
    """
    upstreams = open_upstreams(office, MemoryRendezvous())
    try:
        credentials = Credentials(office)
        await refresh(office, upstreams, credentials, slug, who=who)
        if await asyncio.to_thread(_failed, office, slug) and await _speaks_sse(office, upstreams, credentials, slug):
            await asyncio.to_thread(_is_sse, office, slug, who)
            await refresh(office, upstreams, credentials, slug, who=who)
    finally:
        await upstreams.close()


async def _speaks_sse(office: Office, upstreams: Upstreams, credentials: Credentials, slug: str) -> bool:
    with suppress(UpstreamError, AddressRefused, CredentialUnavailable):
        server, credential = await asyncio.to_thread(reach, office, credentials, slug)
        await upstreams.probe(replace(server, transport=Transport.SSE), credential)
        return True
    return False


def _failed(office: Office, slug: str) -> bool:
    with office.database.read() as session:
        server = find(session, slug)
    return bool(server.failure) and server.transport == Transport.HTTP


def _is_sse(office: Office, slug: str, who: str) -> None:
    with office.change("server.transport", Concern.CATALOGUE, who=who, server=slug, transport="sse") as (session, _):
        server = find(session, slug)
        server.transport = Transport.SSE
        session.add(server)
