"""What was said on the stream of a legacy call, kept for a while for a client that lost the stream.

MCP 2025-03-26 to 2025-11-25, "Resumability and Redelivery": events carry ids, and a GET with Last-Event-ID gets what
came after. In those revisions hanging up cancels nothing, so that without this an answer can be lost for good. A
process keeps what it said itself; of a stream whose client is gone the others find it, sealed, in the rendezvous.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.headers import LEGACY
from gateway.problems import Problem, unavailable
from gateway.rendezvous import RendezvousDown
from gateway.rendezvous.memory import MemoryRendezvous
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.edge.connection import EdgeProtocol
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import Session
    from gateway.portal.reply import Reply
    from gateway.world import World

LIFE: Final = 60.0  # seconds for which an ended stream is kept
TRAIL_MOST: Final = 256 * 1024  # bytes of one stream besides its last message
KEPT_MOST: Final = 32 * 1024 * 1024  # bytes of all streams of a process: beyond it the oldest are forgotten
SHARED_MOST: Final = 1024 * 1024  # bytes of a stream that other processes can find
LOOK: Final = 0.25  # seconds between two looks at a stream of another process

_ID: Final = re.compile(rb"c-([0-9a-f]{16})-([0-9]{1,9})")
_encode: Final = msgspec.msgpack.Encoder().encode

Event = tuple[int, bytes]


class _Parcel(msgspec.Struct, array_like=True):
    ended: bool
    events: list[Event]


_parcel: Final = msgspec.msgpack.Decoder(_Parcel)


class Trail:
    """One stream. It begins with the first event; a call that is answered with JSON leaves none."""

    __slots__ = ("_line", "_news", "_number", "_trails", "ended", "events", "name", "session", "size")

    def __init__(self, trails: Trails, session: Session, line: EdgeProtocol | None) -> None:
        self._trails = trails
        self._line = line
        self._number = 0
        self._news: asyncio.Event | None = None
        self.session = session
        self.name = ""
        self.events: deque[Event] = deque()
        self.size = 0
        self.ended = False

    def begin(self) -> bytes:
        """The id that the stream opens with, for clients that know what to make of it: since 2025-11-25."""
        self.name = urandom(8).hex()
        self._trails.add(self)
        if self._line is not None:
            self._line.when_lost.add(self._lost)
        return self.id_of(0) if self.session.version == LEGACY[0] else b""

    def keep(self, message: bytes) -> bytes:
        """Keeps a message; gives the id of its event."""
        self._number += 1
        before = self.size
        self.events.append((self._number, message))
        self.size += len(message)
        while self.size - len(message) > TRAIL_MOST:
            self.size -= len(self.events.popleft()[1])
        self._trails.grew(self, self.size - before)
        self._tell()
        return self.id_of(self._number)

    def end(self) -> None:
        """Nothing more will be said."""
        if self.name and not self.ended:
            self.ended = True
            if self._line is not None:
                self._line.when_lost.discard(self._lost)
            self._trails.ended(self)
            self._tell()

    def forget(self) -> None:
        """Too old, or too much: whoever still follows it has had what there was."""
        self.events.clear()
        self.size = 0
        self.ended = True
        self._tell()

    def id_of(self, number: int) -> bytes:
        return b"c-%s-%d" % (self.name.encode(), number)

    async def news(self) -> None:
        """Returns when something was said, or nothing more will be."""
        if self._news is None:
            self._news = asyncio.Event()
        await self._news.wait()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None

    def _lost(self) -> None:
        self._trails.lost(self)


class Trails:
    """The streams of one process, and the way to those of the others."""

    def __init__(self, world: World) -> None:
        self._vault = world.office.vault
        self._rendezvous = world.rendezvous
        self._limit = world.settings.call_limit
        self._alone = isinstance(world.rendezvous, MemoryRendezvous)
        self._kept: dict[tuple[str, str], Trail] = {}
        self._size = 0
        self._sharing: set[asyncio.Task[None]] = set()

    def lay(self, exchange: Exchange) -> None:
        """From here on, what is said as a stream can be had again; until the reply ends."""
        assert exchange.session is not None
        exchange.reply.trail = Trail(self, exchange.session, exchange.arrival.line)

    def add(self, trail: Trail) -> None:
        self._kept[trail.session.id, trail.name] = trail

    def grew(self, trail: Trail, size: int) -> None:
        if (trail.session.id, trail.name) not in self._kept:
            trail.forget()
            return
        self._size += size
        while self._size > KEPT_MOST and len(self._kept) > 1:
            self._forget(next(iter(self._kept.values())))

    def ended(self, trail: Trail) -> None:
        asyncio.get_running_loop().call_later(LIFE, self._forget, trail)

    def lost(self, trail: Trail) -> None:
        """Its client is gone, and may come back by way of another process."""
        if not self._alone:
            task = asyncio.create_task(self._share(trail))
            self._sharing.add(task)
            task.add_done_callback(self._sharing.discard)

    async def resume(self, reply: Reply, session: Session, last: bytes) -> None:
        """The rest of the stream that `last` is an event of, as far as it is still known."""
        found = _ID.fullmatch(last)
        name, number = (found[1].decode(), int(found[2])) if found else ("", 0)
        trail = self._kept.get((session.id, name))
        if trail is None and await self._fetch(session, name) is None:
            raise Problem(400, 0, "This stream cannot be resumed (any more); ask again what it was to answer.")
        rest = _follow(trail, number) if trail is not None else self._follow_elsewhere(session, name, number)
        await reply.open()
        async for event, message in rest:
            await reply.event(message, b"c-%s-%d" % (name.encode(), event))
        await reply.end()

    def _forget(self, trail: Trail) -> None:
        if self._kept.pop((trail.session.id, trail.name), None) is not None:
            self._size -= trail.size
            trail.forget()

    async def _share(self, trail: Trail) -> None:
        key, context = _key(trail.session, trail.name), _context(trail.session)
        with suppress(RendezvousDown):  # then the stream can be resumed here only
            while True:
                ended = trail.ended
                news = asyncio.ensure_future(trail.news())
                parcel = _Parcel(ended, _newest(trail.events))
                try:
                    await self._rendezvous.put(key, self._vault.wrap(context, _encode(parcel)), LIFE + self._limit)
                    if ended:
                        return
                    await news
                finally:
                    news.cancel()

    async def _follow_elsewhere(self, session: Session, name: str, number: int) -> AsyncIterator[Event]:
        until = asyncio.get_running_loop().time() + self._limit
        while asyncio.get_running_loop().time() < until:
            parcel = await self._fetch(session, name)
            for event in parcel.events if parcel is not None else ():
                if event[0] > number:
                    number = event[0]
                    yield event
            if parcel is None or parcel.ended:
                return
            await asyncio.sleep(LOOK)

    async def _fetch(self, session: Session, name: str) -> _Parcel | None:
        if self._alone or not name:
            return None
        try:
            sealed = await self._rendezvous.get(_key(session, name))
            return None if sealed is None else _parcel.decode(self._vault.unwrap(_context(session), sealed))
        except RendezvousDown as error:
            raise unavailable("The stream cannot be looked up; try again.") from error
        except (SecretRefused, msgspec.DecodeError):
            return None


async def _follow(trail: Trail, number: int) -> AsyncIterator[Event]:
    while True:
        for event in [each for each in trail.events if each[0] > number]:
            number = event[0]
            yield event
        if trail.events and trail.events[-1][0] > number:
            continue
        if trail.ended:
            return
        await trail.news()


def _newest(events: deque[Event]) -> list[Event]:
    """As many of the last events as others may find."""
    left, chosen = SHARED_MOST, list[Event]()
    for event in reversed(events):
        left -= len(event[1])
        if left < 0:
            break
        chosen.append(event)
    return chosen[::-1]


def _key(session: Session, name: str) -> str:
    return f"trail/{session.id}/{name}"


def _context(session: Session) -> bytes:
    return b"trail\x00" + session.id.encode()
