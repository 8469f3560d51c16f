"""Beginning and ending a session with a legacy server (2025-11-25, lifecycle)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from gateway.egress.reply import Terms
from gateway.upstream import Probed, UpstreamBroken, UpstreamError
from gateway.upstream.conversation import answer_of
from gateway.upstream.envelope import LEGACY_VERSIONS, OURSELVES, notification, plain_request
from gateway.upstream.messages import next_id, read, refusal
from registry.tables import Era

if TYPE_CHECKING:
    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential

HANDSHAKE_TERMS = Terms(20.0, 20.0, 4 * 1024 * 1024)
_SESSION_ID = re.compile(rb"[!-~]{1,1024}")  # visible ASCII


class Initialized(msgspec.Struct):
    """InitializeResult."""

    protocolVersion: str  # noqa: N815
    capabilities: dict[str, Any] = msgspec.field(default_factory=dict)
    serverInfo: dict[str, Any] = msgspec.field(default_factory=dict)  # noqa: N815
    instructions: str | None = None


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the server said when the session began, and the session's id."""

    session: bytes
    probed: Probed


class Deaf:
    """Hears nothing: nothing is expected before this answer."""

    async def heard(self, message: Message) -> None:
        if message.id is not UNSET:
            raise UpstreamBroken("the server asked back where nobody can be asked")


async def greet(egress: Egress, route: Route, credential: Credential | None, capabilities: bytes) -> Greeting:
    """`initialize` and `notifications/initialized`, offering the newest legacy revision."""
    number = next_id()
    body = initialize_body(number, capabilities)
    reply = await egress.exchange(route, "POST", b"", body, HANDSHAKE_TERMS, credential=credential, repeatable=True)
    try:
        greeting = await _greeting(reply, number)
    finally:
        reply.close()
    await _initialized(egress, route, credential, greeting)
    return greeting


def initialize_body(number: int, capabilities: bytes) -> bytes:
    params = b'{"protocolVersion":"%s","capabilities":%s,"clientInfo":%s}'
    params %= (LEGACY_VERSIONS[0].encode("ascii"), capabilities, OURSELVES)
    return plain_request("initialize", number, params)


def begun(result: bytes | msgspec.Raw) -> Probed:
    """What the server says of itself in its answer to `initialize`."""
    said: Initialized = read(result, Initialized)
    if said.protocolVersion not in LEGACY_VERSIONS:
        raise UpstreamBroken("the server speaks no revision of the protocol that is spoken here")
    return Probed(
        era=Era.LEGACY,
        protocol_version=said.protocolVersion,
        capabilities=said.capabilities,
        info=said.serverInfo,
        instructions=said.instructions or "",
    )


async def end(egress: Egress, route: Route, lines: bytes, credential: Credential | None, terms: Terms) -> None:
    """DELETE the session. A server that will not hear of it (405) or is gone is left alone."""
    try:
        reply = await egress.exchange(route, "DELETE", lines, b"", terms, credential=credential)
    except UpstreamError:
        return
    reply.close()


def session_lines(greeting: Greeting) -> bytes:
    version = b"MCP-Protocol-Version: %s\r\n" % greeting.probed.protocol_version.encode("ascii")
    return version + (b"Mcp-Session-Id: %s\r\n" % greeting.session if greeting.session else b"")


async def _greeting(reply: Reply, number: int) -> Greeting:
    if reply.status != 200:
        raise refusal(reply)
    message = await answer_of(reply, number, Deaf())
    if message.result is UNSET:
        raise UpstreamBroken("the server refuses to begin a session")
    if reply.session and not _SESSION_ID.fullmatch(reply.session):
        raise UpstreamBroken("the server's session id is not visible ASCII")
    return Greeting(reply.session, begun(message.result))


async def _initialized(egress: Egress, route: Route, credential: Credential | None, greeting: Greeting) -> None:
    body = notification("notifications/initialized")
    terms = replace(HANDSHAKE_TERMS, size=64 * 1024)
    reply = await egress.exchange(
        route, "POST", session_lines(greeting), body, terms, credential=credential, repeatable=True
    )
    reply.close()
    if not 200 <= reply.status < 300:
        raise refusal(reply)
