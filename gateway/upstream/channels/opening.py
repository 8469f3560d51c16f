"""How a conversation over a channel begins: which era the server speaks, and what it says of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import UNSET

from gateway.upstream import Ask, UpstreamBroken, UpstreamSlow
from gateway.upstream.channels.talk import TELL_TERMS
from gateway.upstream.envelope import modern_body, notification
from gateway.upstream.legacy.handshake import HANDSHAKE_TERMS, Deaf, begun, initialize_body
from gateway.upstream.refreshing.probe import TERMS, judged
from registry.tables import Era

if TYPE_CHECKING:
    from gateway.upstream import Probed
    from gateway.upstream.channels.talk import Talk

# A program may take its time to start; one that knows no such method may leave it unanswered.
EXPLORING = replace(TERMS, silence=20.0, total=20.0)
STARTING = replace(HANDSHAKE_TERMS, silence=30.0, total=30.0)


async def begin(talk: Talk, era: Era | None, capabilities: bytes) -> None:
    """`era` is what the server is known to speak, None if that is to be found out. Raises UpstreamError."""
    await talk.begin()
    if era is Era.MODERN:
        talk.era = Era.MODERN
        return
    found = await discover(talk) if era is None else None
    if found is not None:
        talk.era, talk.probed = Era.MODERN, found
        return
    talk.probed = await _initialize(talk, capabilities)


async def discover(talk: Talk) -> Probed | None:
    """What a modern server says of itself; None if it is none, and only then."""
    waiting = talk.expect(EXPLORING)
    body = modern_body(Ask(method="server/discover", principal=None), waiting.number)
    try:
        message = await talk.ask(waiting, body, Deaf(), cancels=False)
    except UpstreamSlow:
        return None
    found = judged(message)
    return found if not isinstance(found, bool) else None


async def _initialize(talk: Talk, capabilities: bytes) -> Probed:
    """The handshake, which cannot be cancelled (2025-11-25, lifecycle)."""
    waiting = talk.expect(STARTING)
    message = await talk.ask(waiting, initialize_body(waiting.number, capabilities), Deaf(), cancels=False)
    if message.result is UNSET:
        raise UpstreamBroken("the server refuses to begin a session")
    found = begun(message.result)
    await talk.send(notification("notifications/initialized"), TELL_TERMS)
    return found
