"""The GET stream of the revisions before 2026-07-28: what belongs to no request."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from os import urandom
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.calls import connecting
from gateway.portal.calls.relay import notification
from gateway.portal.headers import LEGACY
from gateway.portal.legacy.tasks import news
from gateway.portal.listening.hearing import UPDATED
from gateway.portal.listening.subscriptions import LISTS, Stream, listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.credentials.connections.news import Connected
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import State
    from gateway.portal.listening.hub import Hub
    from gateway.portal.listing import Lists

LOOK: Final = 5.0  # seconds between looks at what a session follows

_encode: Final = msgspec.json.Encoder().encode


class Numbered(Stream):
    """The stream of a legacy client, whose events have ids."""

    async def prime(self) -> None:
        """An id before anything happens (2025-11-25, "Sending Messages to the Server", 6)."""
        assert self.exchange.session is not None
        if self.exchange.session.version == LEGACY[0]:
            await self.exchange.reply.prime(self._id())

    async def catch_up(self, last: bytes, uris: list[str]) -> None:
        before = last.split(b"-")[1:-1]
        for name, mark in zip(self.wanted, self._marks(), strict=True):
            if len(before) != len(self.wanted) or mark != before[self.wanted.index(name)]:
                await self.say(LISTS[name][1], {})
        for uri in uris:
            await self.say(UPDATED, {"uri": uri})

    async def connected(self, news: Connected) -> None:
        """2025-11-25, "Completion Notifications for URL Mode": whoever was led to the page can call again."""
        session, principal = self.exchange.session, self.exchange.principal
        if session is not None and news.subject == principal.subject and connecting.takes_urls(session):
            ident = connecting.elicitation_id(self.exchange.world, session, news.server)
            await self.say("notifications/elicitation/complete", {"elicitationId": ident})

    async def say(self, method: str, params: dict[str, Any]) -> None:
        await self.exchange.reply.event(notification(method, _encode(params)), self._id())

    def _id(self) -> bytes:
        return b"-".join((b"g", *self._marks(), urandom(6).hex().encode()))

    def _marks(self) -> list[bytes]:
        return [sha256(self.marks[name]).hexdigest()[:12].encode() for name in self.wanted]


async def follow(
    exchange: Exchange, hub: Hub, lists: Lists, state: Callable[[], Awaitable[State]], last: bytes = b""
) -> None:
    """The GET stream: changed lists, and changes of whatever the session follows at the time.

    An event's id holds what the lists looked like, so whoever comes back with it (`last`), to whichever process, is
    told what changed meanwhile; of resources nobody knows, so all that are followed count as changed.
    """
    stream = Numbered(exchange, lists, tuple(LISTS), frozenset(), b"", {})
    stream.marks = stream.look()
    await exchange.reply.open()
    await stream.prime()
    if last:
        await stream.catch_up(last, (await state()).uris)
    while True:
        now = await state()
        stream.uris = frozenset(now.uris)
        async with listening(stream.exchange, hub, stream.uris) as listener:
            changed = asyncio.create_task(_other(state, now))
            following = asyncio.create_task(stream.follow(listener))
            of_tasks = [asyncio.create_task(news.follow(stream))] if now.tasks else []
            try:
                await asyncio.wait({changed, following}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ended = following.done() or not (changed.done() and not changed.exception())
                for task in (changed, following, *of_tasks):
                    task.cancel()
        if ended:
            break
    await exchange.reply.end()


async def _other(state: Callable[[], Awaitable[State]], before: State) -> None:
    """Returns when the session follows something else than before."""
    while _followed(await state()) == _followed(before):  # noqa: ASYNC110 - it may change in another process
        await asyncio.sleep(LOOK)


def _followed(state: State) -> tuple[frozenset[str], bool]:
    return frozenset(state.uris), state.tasks
