"""Asking servers over channels: the `Engine` of each kind of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from gateway.egress.reply import Terms
from gateway.running import as_task
from gateway.upstream import Answer, UpstreamBusy, UpstreamSlow
from gateway.upstream.channels.following import ChannelFollower
from gateway.upstream.channels.opened import Opened
from gateway.upstream.channels.opening import discover
from gateway.upstream.driving import driven, needs_driving
from gateway.upstream.envelope import legacy_body, modern_body, plain_request
from gateway.upstream.feeds import Feeds
from gateway.upstream.legacy.convert import modern_answer
from gateway.upstream.legacy.handshake import Deaf
from gateway.upstream.legacy.questions import Questions
from gateway.upstream.legacy.rounds import in_rounds
from gateway.upstream.modern import Notified, said
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

    from gateway.egress.budget import Budget
    from gateway.upstream import Ask, Downstream, Ended, FeedEvent, Probed
    from gateway.upstream.channels.places import Place, Places
    from gateway.upstream.channels.talk import Talk
    from gateway.upstream.legacy.parking import Parking
    from registry.catalogue import Credential, Upstream

SHORT = Terms(10.0, 10.0, 256 * 1024)
ASLEEP_MOST = 3600.0  # seconds after which a sleepy server is woken, merely to be read


class Channels:
    """An `Engine`."""

    def __init__(self, places: Places, parking: Parking, budget: Budget) -> None:
        self._places = places
        self._parking = parking
        self._opened = Opened(budget)
        self._feeds = Feeds()
        self._read_at: dict[Hashable, float] = {}

    async def send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None, terms: Terms
    ) -> Answer:
        await as_task()
        if server.era is Era.MODERN:
            if needs_driving(ask):
                return await driven(
                    ask, down, lambda one: self._ask(server, one, down, credential, terms, b"{}"), terms.total
                )
            return await self._ask(server, ask, down, credential, terms, b"{}")
        return await in_rounds(
            self._parking,
            ask,
            down,
            lambda asked, heard, caps: self._ask(server, asked, heard, credential, terms, caps),
            terms.total,
            credential,
        )

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:
        place = self._places.place(server, None, credential, b"{}")
        now = asyncio.get_running_loop().time()
        if place.sleepy and self._opened.at(place.key) is None and now < self._read_at.get(place.key, -ASLEEP_MOST):
            raise UpstreamBusy("the server is asleep; it is read when it is woken")
        talk = await self._opened.enter(place, Era.LEGACY if place.legacy else None)
        found = await discover(talk) if talk.era is Era.MODERN else talk.probed
        self._read_at[place.key] = now + ASLEEP_MOST
        if found is None:
            raise UpstreamSlow("the server does not say what it is now")
        return found

    async def events(
        self, server: Upstream, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        place = self._places.place(server, None, credential, b"{}")
        follower = ChannelFollower(self._opened, place, server.era)
        events = self._feeds.events((place.key, server.era), server, uris, lambda: follower, credential)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

    def leave(self, server: str) -> None:
        """Nobody may ask it any more, so it does not run on for as long as it might be idle."""
        self._opened.leave(server)
        self._read_at.clear()

    def forsake(self, ended: Ended) -> None:
        self._feeds.forsake(ended)
        self._opened.forsake(ended)

    async def sweep(self) -> None:
        await self._opened.sweep()

    async def close(self) -> None:
        self._feeds.close()
        await self._opened.close()

    async def _ask(
        self,
        server: Upstream,
        ask: Ask,
        down: Downstream,
        credential: Credential | None,
        terms: Terms,
        capabilities: bytes,
    ) -> Answer:
        place = self._places.place(server, ask.principal, credential, capabilities)
        talk = await self._opened.enter(place, server.era)
        if ask.principal is not None or not place.sleepy:
            talk.used = asyncio.get_running_loop().time()
        if talk.era is Era.MODERN:
            return await _ask_modern(talk, ask, down, terms)
        return await _ask_legacy(talk, ask, down, terms, place)


async def _ask_modern(talk: Talk, ask: Ask, down: Downstream, terms: Terms) -> Answer:
    waiting = talk.expect(terms)
    body = modern_body(ask, waiting.number)
    return said(await talk.ask(waiting, body, Notified(ask, waiting.number, down)))


async def _ask_legacy(talk: Talk, ask: Ask, down: Downstream, terms: Terms, place: Place) -> Answer:
    if ask.log_level not in {"", talk.log_level} and not place.shared:
        await request(talk, "logging/setLevel", b'{"level":%s}' % msgspec.json.encode(ask.log_level))
        talk.log_level = ask.log_level
    waiting = talk.expect(terms)
    questions = Questions(talk.tell, talk.server, ask, waiting.number, down, waiting)
    try:
        return modern_answer(await talk.ask(waiting, legacy_body(ask, waiting.number), questions), ask)
    finally:
        questions.close()


async def request(talk: Talk, method: str, params: bytes) -> None:
    """A short request of our own."""
    waiting = talk.expect(SHORT)
    await talk.ask(waiting, plain_request(method, waiting.number, params), Deaf())
