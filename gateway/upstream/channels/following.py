"""Following what changes at a server over its channel: it says so between its answers, or on a subscription."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.egress.reply import Terms
from gateway.upstream.envelope import modern_body, plain_request
from gateway.upstream.following import TERMS, listening, pass_on, resources, subscription
from gateway.upstream.legacy.handshake import Deaf
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.upstream.channels.opened import Opened
    from gateway.upstream.channels.places import Place
    from gateway.upstream.channels.talk import Talk
    from gateway.upstream.messages import Message

SHORT = Terms(10.0, 10.0, 256 * 1024)

Offer = "Callable[[str, str], None]"


class ChannelFollower:
    """Wakes its server only where somebody waits for word of a resource; for lists it follows whenever it is awake."""

    def __init__(self, opened: Opened, place: Place, era: Era) -> None:
        self._opened = opened
        self._place = place
        self._era = era

    async def follow(self, uris: frozenset[str], announced: frozenset[str], offer: Callable[[str, str], None]) -> None:
        talk = await self._talk(wake=bool(uris) or not self._place.sleepy)
        if talk.era is Era.MODERN:
            await self._subscribe(talk, uris, announced, offer)
            return
        talk.offers.add(offer)
        try:
            await _watch(talk, uris)
            await talk.over.wait()
        finally:
            talk.offers.discard(offer)

    async def _talk(self, *, wake: bool) -> Talk:
        if wake:
            return await self._opened.enter(self._place, self._era)
        while (talk := self._opened.at(self._place.key)) is None:
            await self._opened.opened()
        return talk

    async def _subscribe(
        self, talk: Talk, uris: frozenset[str], announced: frozenset[str], offer: Callable[[str, str], None]
    ) -> None:
        params = subscription(uris, announced)
        if not params:
            await talk.over.wait()
            return
        waiting = talk.expect(TERMS, needed=bool(uris))
        await talk.ask(waiting, modern_body(listening(uris, params), waiting.number), _Offering(offer))


class _Offering:
    """Hears what a subscription brings."""

    def __init__(self, offer: Callable[[str, str], None]) -> None:
        self._offer = offer

    async def heard(self, message: Message) -> None:
        pass_on(message, self._offer)


async def _watch(talk: Talk, uris: frozenset[str]) -> None:
    uris = resources(uris)
    for uri in sorted(uris - talk.watched):
        await _request(talk, "resources/subscribe", uri)
        talk.watched.add(uri)
    for uri in sorted(talk.watched - uris):
        await _request(talk, "resources/unsubscribe", uri)
        talk.watched.discard(uri)


async def _request(talk: Talk, method: str, uri: str) -> None:
    waiting = talk.expect(SHORT)
    body = plain_request(method, waiting.number, b'{"uri":%s}' % msgspec.json.encode(uri))
    await talk.ask(waiting, body, Deaf())
