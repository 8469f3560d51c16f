"""The way back to the client: one JSON answer, or, as soon as something is to be said before it, a stream of events."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gateway.edge.request import JSON
from gateway.problems import METHOD_NOT_FOUND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.edge import Arrival
    from gateway.edge.request import Request
    from gateway.portal.legacy.trails import Trail
    from gateway.upstream import Answer

Lines = tuple[tuple[bytes, bytes], ...]

BEAT: Final = 7.0  # seconds; who was silent for two beats says something: proxies take a minute's silence for death
RETRY_MS: Final = 1000  # after which who lost a stream should come back
EXPOSED: Final = b"WWW-Authenticate, Mcp-Session-Id, Retry-After"

_EVENTS: Final[Lines] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
KEPT: Final = 256  # bytes of an Accept header up to which its reading is remembered
_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")
# The status that goes with a server's error (MCP, Streamable HTTP); all others go with 200.
_STATUS: Final = {-32021: 400, METHOD_NOT_FOUND: 404}


class _Coded(msgspec.Struct):
    code: int = 0


_CODED: Final = msgspec.json.Decoder(_Coded)


def accepts(value: bytes) -> tuple[bool, bool]:
    """Whether an Accept header lets us answer with JSON, and with a stream of events (RFC 9110 section 12.5.1)."""
    return (_accepts if len(value) <= KEPT else _accepts.__wrapped__)(value)


@lru_cache(maxsize=256)
def _accepts(value: bytes) -> tuple[bool, bool]:
    ranges = {part.partition(b";")[0].strip().lower() for part in value.split(b",")}
    anything = b"*/*" in ranges
    return anything or not ranges.isdisjoint(
        (b"application/json", b"application/*")
    ), anything or not ranges.isdisjoint((b"text/event-stream", b"text/*"))


class Reply:
    """One answer. `streams` says whether the client takes events; if not, what comes before the answer is dropped."""

    __slots__ = ("_always", "_request", "ended", "silent", "started", "streams", "takes_json", "trail")

    def __init__(self, request: Request, arrival: Arrival, takes_json: bool, streams: bool) -> None:
        self._request = request
        self._always = () if arrival.origin is None else _cors(arrival.origin)
        self.takes_json = takes_json
        self.silent = 0
        self.streams = streams
        self.started = False
        self.ended = False
        self.trail: Trail | None = None  # of a legacy client, which may lose the stream and come back for the rest

    def also(self, line: tuple[bytes, bytes]) -> None:
        """A header that goes with whatever is answered."""
        self._always += (line,)

    async def json(self, status: int, body: bytes, headers: Lines = ()) -> None:
        self.whole(status, JSON, body, headers)

    async def text(self, status: int, text: str, headers: Lines = ()) -> None:
        self.whole(status, b"text/plain; charset=utf-8", f"{text}\n".encode() if text else b"", headers)

    def whole(self, status: int, kind: bytes, body: bytes, headers: Lines = ()) -> None:
        """All of it at once."""
        self.started = self.ended = True
        self._request.whole(status, kind, body, headers + self._always)

    async def open(self, headers: Lines = ()) -> None:
        """Commit to a stream; from here on the status is 200 whatever happens."""
        if not self.started:
            self.started = True
            self._request.begin(200, (*_EVENTS, *headers, *self._always))
            first = self.trail.begin() if self.trail is not None else b""
            await (self.prime(first) if first else self.comment())

    async def event(self, message: bytes, ident: bytes = b"") -> None:
        """One JSON-RPC message; line ends between its tokens become spaces, there are none inside them."""
        if self.streams and not self.ended:
            await self.open()
            if self.trail is not None:
                ident = self.trail.keep(message)
            head = b"id: %s\nevent: message\n" % ident if ident else b"event: message\n"
            await self._frame(b"%sdata: %s\n\n" % (head, message.translate(_LINE_ENDS)))

    async def prime(self, ident: bytes) -> None:
        """An event without data: the client has an id to come back with before anything is said (SEP-1699)."""
        await self._frame(b"id: %s\nretry: %d\ndata: \n\n" % (ident, RETRY_MS))

    async def comment(self) -> None:
        await self._frame(b":\n\n")

    async def finish(self, status: int, message: bytes, headers: Lines = ()) -> None:
        """The answer itself, as JSON if nothing was said before."""
        if not self.started:
            self.whole(status, JSON, message, headers)
            return
        await self.event(message)
        await self.end()

    async def end(self) -> None:
        if self.started and not self.ended:
            self.ended = True
            if self.trail is not None:
                self.trail.end()
            if await self._request.drain():
                self._request.write(b"", more=False)

    async def _frame(self, frame: bytes) -> None:
        self.silent = 0
        if await self._request.drain():
            self._request.write(frame, more=True)

    async def murmur(self) -> None:
        """Say something, so that nobody takes a long silence for a dead connection."""
        if not self.ended and self.streams:
            await (self.comment() if self.started else self.open())


class Silent(Protocol):
    """A request that waits for its answer. `silent` counts the beats since anything was said on it."""

    silent: int

    async def murmur(self) -> None: ...


class Pulse:
    """Keeps silent answers alive: one timer for all, because a timer each would cost more than the answers.

    Those it is given, and those that are `elsewhere`: for these whoever begins one looks whether it `rests`.
    """

    def __init__(self, elsewhere: Callable[[], Iterable[Silent]] = tuple) -> None:
        self._waiting: set[Silent] = set()
        self._elsewhere = elsewhere
        self.rests = True
        self._murmurs: set[asyncio.Task[None]] = set()

    def add(self, reply: Silent) -> None:
        self._waiting.add(reply)
        if self.rests:
            self.begin()

    def discard(self, reply: Silent) -> None:
        self._waiting.discard(reply)

    def begin(self) -> None:
        self.rests = False
        asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _beat(self) -> None:
        self.rests = True
        waiting = (*self._waiting, *self._elsewhere())
        for reply in waiting:
            reply.silent += 1
            if reply.silent > 1:
                reply.silent = 0
                task = asyncio.get_running_loop().create_task(reply.murmur())
                self._murmurs.add(task)
                task.add_done_callback(self._murmurs.discard)
        if waiting:
            self.begin()


def _cors(origin: bytes) -> Lines:
    """For a browser client of a listed origin (the edge refused all others)."""
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
        (b"vary", b"Origin"),
    )


def envelope(ident: bytes, answer: Answer) -> tuple[int, bytes]:
    """The status and the message that a server's answer goes on in."""
    if answer.result:
        return 200, b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (ident, answer.result)
    status = _STATUS.get(_CODED.decode(answer.error).code, 200)
    return status, b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (ident, answer.error)
