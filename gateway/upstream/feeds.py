"""What changes at servers: one stream per server and credential, for all who want to know."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

from gateway.upstream import FeedEvent, UpstreamError
from gateway.upstream.following import ANY, UPDATED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable

    from gateway.upstream import Ended
    from registry.catalogue import Credential, Upstream

FIRST_PAUSE = 1.0  # seconds before a stream that ended is opened again; doubled up to
LONGEST_PAUSE = 60.0
PENDING_MOST = 1000  # distinct events that one listener may leave unread


class Listening:
    """One who listens. Events that say the same are one, so that a flood of them stays small."""

    def __init__(self, uris: frozenset[str]) -> None:
        self.uris = uris
        self._pending: dict[FeedEvent, None] = {}
        self._ready = asyncio.Event()
        self._over = False

    def offer(self, event: FeedEvent) -> None:
        if event.method == UPDATED and event.uri not in self.uris:
            return
        if len(self._pending) < PENDING_MOST:
            self._pending[event] = None
            self._ready.set()

    def end(self) -> None:
        """There will be nothing more; whoever still wants to hear asks anew."""
        self._over = True
        self._ready.set()

    async def next(self) -> FeedEvent | None:
        await self._ready.wait()
        if self._over:
            return None
        event = next(iter(self._pending))
        del self._pending[event]
        if not self._pending:
            self._ready.clear()
        return event


class Follows(Protocol):
    """Follows one server's stream of changes once."""

    async def follow(self, uris: frozenset[str], announced: frozenset[str], offer: Callable[[str, str], None]) -> None:
        """Until the stream ends or this is cancelled; raises UpstreamError."""


class Feed:
    """One stream, kept up while somebody listens."""

    def __init__(
        self, follower: Follows, server: str, announced: frozenset[str], credential: Credential | None
    ) -> None:
        self.credential = credential
        self._follower = follower
        self._server = server
        self._announced = announced  # the list changes that the server can tell of
        self._listeners: set[Listening] = set()
        self._grown = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def unwanted(self) -> bool:
        return not self._listeners

    def join(self, listening: Listening) -> None:
        if self._task is not None and not listening.uris <= self._uris():
            self._grown.set()
        self._listeners.add(listening)
        if self._task is None:
            self._task = asyncio.create_task(self._keep_up())

    def leave(self, listening: Listening) -> None:
        self._listeners.discard(listening)
        if self.unwanted:
            self.stop()

    def end(self) -> None:
        self.stop()
        for listening in self._listeners:
            listening.end()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _uris(self) -> frozenset[str]:
        return frozenset().union(*(one.uris for one in self._listeners))

    def _offer(self, method: str, uri: str) -> None:
        event = FeedEvent(self._server, method, uri)
        for listening in self._listeners:
            listening.offer(event)

    async def _keep_up(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._grown.clear()
            began = asyncio.get_running_loop().time()
            if await self._follow_until_grown():
                continue
            if asyncio.get_running_loop().time() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # spreads load, guards nothing
            pause = min(2 * pause, LONGEST_PAUSE)
            self._catch_up()

    async def _follow_until_grown(self) -> bool:
        """Whether the stream was left because somebody wants to hear of more."""
        follow = asyncio.ensure_future(self._follow())
        grown = asyncio.ensure_future(self._grown.wait())
        try:
            await asyncio.wait({follow, grown}, return_when=asyncio.FIRST_COMPLETED)
            return self._grown.is_set()
        finally:
            follow.cancel()
            grown.cancel()
            await asyncio.gather(follow, grown, return_exceptions=True)

    async def _follow(self) -> None:
        try:
            await self._follower.follow(self._uris(), self._announced, self._offer)
        except UpstreamError:
            return  # opened again after a pause

    def _catch_up(self) -> None:
        """What happened while nobody listened is not known, so everything may have changed."""
        for method in self._announced:
            self._offer(method, "")
        for uri in self._uris():
            self._offer(UPDATED, uri)


class Feeds:
    """The streams of this process, each under a key that tells credentials apart."""

    def __init__(self) -> None:
        self._feeds: dict[Hashable, Feed] = {}

    async def events(
        self,
        key: Hashable,
        server: Upstream,
        uris: frozenset[str],
        follower: Callable[[], Follows],
        credential: Credential | None = None,
    ) -> AsyncIterator[FeedEvent]:
        """Until nobody iterates, or the account that it is heard with has ended."""
        listening = Listening(uris)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(follower(), server.slug, _announced(server), credential)
        feed.join(listening)
        try:
            while (event := await listening.next()) is not None:
                yield event
        finally:
            feed.leave(listening)
            if feed.unwanted and self._feeds.get(key) is feed:
                del self._feeds[key]

    def forsake(self, ended: Ended) -> None:
        """No stream goes on, or is opened again, with an account that has ended."""
        for key, feed in list(self._feeds.items()):
            if feed.credential is not None and ended(feed.credential):
                del self._feeds[key]
                feed.end()

    def close(self) -> None:
        for feed in self._feeds.values():
            feed.stop()


def _announced(server: Upstream) -> frozenset[str]:
    """The `list_changed` notifications that the server's capabilities promise."""
    promised = set()
    for method, capability in ANY.items():
        capabilities = server.capabilities.get(capability)
        if isinstance(capabilities, dict) and capabilities.get("listChanged"):
            promised.add(method)
    return frozenset(promised)
