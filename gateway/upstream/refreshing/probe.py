"""Which era a server speaks, and what it says of itself.

`server/discover` first; only positive evidence makes a server modern, everything else leads to `initialize`, so that a
passing 400 of a proxy pins nobody to the wrong era (2026-07-28, versioning; streamable HTTP, backward compatibility).
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from gateway.egress.reply import Terms
from gateway.upstream import Ask, Probed, UpstreamBroken, UpstreamSlow
from gateway.upstream.conversation import answer_of
from gateway.upstream.envelope import LEGACY_VERSIONS, MODERN_VERSION, modern_body, modern_lines
from gateway.upstream.legacy.handshake import Deaf, Greeting, greet
from gateway.upstream.messages import ONLY_MODERN_SAY, failure, next_id, read, refusal
from registry.tables import Era

if TYPE_CHECKING:
    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential

TERMS = Terms(10.0, 10.0, 4 * 1024 * 1024)
FINAL_STATUSES = frozenset({301, 302, 303, 307, 308, 401, 403, 429, 503})  # say nothing of the era, and end the probe
UNSUPPORTED_VERSION = -32022
SERVER_INFO = "io.modelcontextprotocol/serverInfo"


class Discovered(msgspec.Struct):
    """DiscoverResult."""

    supportedVersions: list[str]  # noqa: N815
    capabilities: dict[str, Any] = msgspec.field(default_factory=dict)
    instructions: str | None = None
    meta: dict[str, Any] = msgspec.field(default_factory=dict, name="_meta")


class _Contradiction(Exception):
    """The server does not take the version that it says it speaks."""


class _Supported(msgspec.Struct):
    supported: list[str] = msgspec.field(default_factory=list)


async def probe(egress: Egress, route: Route, credential: Credential | None) -> Probed | Greeting:
    """What the server says of itself; of a legacy one with the session that had to be opened to learn it."""
    found = await _discover(egress, route, credential)
    if isinstance(found, Probed):
        return found
    try:
        return await greet(egress, route, credential, b"{}")
    except UpstreamBroken as broken:
        if found:
            raise UpstreamBroken("the server speaks no revision of the protocol that is spoken here") from broken
        raise


async def _discover(egress: Egress, route: Route, credential: Credential | None) -> Probed | bool:
    """What a modern server says; otherwise whether there was any sign of one.

    A server that turns our version away and names it as one that it speaks is asked once more, as its error has it.
    """
    try:
        return await _ask(egress, route, credential)
    except _Contradiction:
        with contextlib.suppress(_Contradiction):
            return await _ask(egress, route, credential)
        return True


async def _ask(egress: Egress, route: Route, credential: Credential | None) -> Probed | bool:
    number = next_id()
    ask = Ask(method="server/discover", principal=None)
    lines, body = modern_lines(ask), modern_body(ask, number)
    try:
        reply = await egress.exchange(route, "POST", lines, body, TERMS, credential=credential, repeatable=True)
    except UpstreamSlow:
        return False  # some legacy servers leave what they do not know unanswered
    try:
        return await _judge(reply, number)
    finally:
        reply.close()


async def _judge(reply: Reply, number: int) -> Probed | bool:
    if reply.status in FINAL_STATUSES:
        raise refusal(reply)
    try:
        return judged(await answer_of(reply, number, Deaf()))
    except UpstreamBroken:
        return False


def judged(message: Message) -> Probed | bool:
    """What a modern server says of itself; otherwise whether there was any sign of one."""
    try:
        return _refused(message) if message.error is not UNSET else _discovered(message)
    except UpstreamBroken:
        return False


def _discovered(message: Message) -> Probed | bool:
    said: Discovered = read(message.result, Discovered)  # type: ignore[arg-type]  # one of the two is there
    if MODERN_VERSION not in said.supportedVersions:
        return True
    info = said.meta.get(SERVER_INFO)
    return Probed(
        era=Era.MODERN,
        protocol_version=MODERN_VERSION,
        capabilities=said.capabilities,
        info=info if isinstance(info, dict) else {},
        instructions=said.instructions or "",
    )


def _refused(message: Message) -> bool:
    found = failure(message.error)  # type: ignore[arg-type]  # looked at before
    if found.code not in ONLY_MODERN_SAY:
        return False
    if found.code == UNSUPPORTED_VERSION and found.data is not UNSET:
        supported = set(read(found.data, _Supported).supported)
        if MODERN_VERSION in supported:
            raise _Contradiction
        return not supported & set(LEGACY_VERSIONS)
    return True
