"""One HTTP/1.1 connection (RFC 9112) to a server: one exchange at a time, strict about what comes back.

What comes back is counted while it comes: head bytes and lines, raw bytes, decoded bytes, and the budget in flight. A
connection on which anything was odd is closed, so that no byte can reach whoever asks next.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import TYPE_CHECKING, Any, TypeGuard

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from gateway.egress import heads
from gateway.egress.reply import Reply, Terms
from gateway.egress.tls import why_not
from gateway.upstream import UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamSlow, UpstreamUnreachable
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.egress.budget import Budget

HEAD_BYTES = 64 * 1024
HEAD_LINES = 100
TOLD = frozenset({b"link", b"x-total-count", b"dpop-nonce"})  # what a server says of an answer beside it
INTERIM_REPLIES = 8  # 1xx answers that one request may be sent
DRAIN_TIME = 1.0  # seconds in which an event stream must end after its answer
DRAIN_BYTES = 4096
CHUNKS_FREE = 4096  # pieces of a body; beyond them a piece must hold FLOOD_BYTES on average (T-76)
FLOOD_BYTES = 16
FRAMING_FREE = 1024 * 1024  # raw bytes beyond twice the decoded cap
IDLE_LIFE = 4.0  # seconds; common servers close an idle connection after 5
CONNECTION_LIFE = 600.0  # seconds; so that a change of address is felt even under steady load
LOOK_AFTER = 0.005  # seconds idle after which the socket is looked at before it is used again


class Stale(UpstreamBroken):
    """The connection ended before a byte of the answer came."""

    trouble = Trouble.LOST


class Connection(asyncio.Protocol):
    """The protocol of one connection; `freed` and `lost` tell its pool."""

    def __init__(
        self, budget: Budget, freed: Callable[[Connection, float], None], lost: Callable[[Connection], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._budget = budget
        self._freed = freed
        self._lost = lost
        self._transport: Any = None
        self._parser = HttpResponseParser(self)
        self._poll = select.poll()
        self._reply: Reply | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_for: Terms | None = None
        self._fault: UpstreamError | None = None
        self._started = self._heard = self._idle_since = self._loop.time()
        self.opened = self._started
        self._known: heads.Head | None = None  # the last one that was known
        self.life = IDLE_LIFE
        self._restart()

    def _restart(self) -> None:
        self._lines: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_lines = 0
        self._pieces = 0
        self._raw = 0
        self._interim = 0
        self._head_done = False
        self._complete = False
        self._spoilt = False
        self._keep_alive = False
        self._framed = False  # has a length or chunks, so that its end is not the end of the connection
        self._whole = b""  # what came first, as long as it may be all of the answer

    # -- for the pool -----------------------------------------------------------------------------------------------

    def usable(self) -> bool:
        """Whether another request may be sent; looks at the socket if it has been idle for a moment."""
        if self._transport is None or self._transport.is_closing() or self._reply is not None:
            return False
        idle = self._loop.time() - self._idle_since
        if idle > self.life:
            return False
        return idle < LOOK_AFTER or not self._poll.poll(0)

    def is_old(self) -> bool:
        """Whether it has been open for as long as it may."""
        return self._heard - self.opened > CONNECTION_LIFE

    def is_spent(self, now: float) -> bool:
        """Whether it has been idle for as long as it may."""
        return now - self._idle_since > self.life

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()

    def send(self, request: bytes, terms: Terms) -> Reply:
        """Send; the reply comes with the whole answer, or with the head of an event stream."""
        reply = Reply(self, self._budget, terms, len(request))
        self._reply = reply
        self._started = self._heard = self._loop.time()
        if self._transport.is_closing():
            self._reply = None
            reply.end(UpstreamUnreachable("the server closed the connection at once; nothing was sent"))
            return reply
        if self._timer is None or self._timer_for is not terms:
            self._timer_for = terms
            self._arm(min(terms.silence, terms.total))
        self._transport.write(request)
        return reply

    def abandon(self, reply: Reply) -> None:
        """Nobody waits for the rest of `reply`: closing the connection tells a modern server so."""
        if self._reply is reply:
            self._reply = None
            self.close()

    def drain(self, reply: Reply) -> None:
        """The answer was in the stream already: read what little should follow, so that the connection stays good."""
        if self._reply is reply:
            now = self._heard = self._loop.time()
            reply.terms = Terms(DRAIN_TIME, now - self._started + DRAIN_TIME, reply.received + DRAIN_BYTES)
            self._arm(reply.terms.total)
            self.resume()

    def resume(self) -> None:
        if self._reply is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # -- from the socket --------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLHUP)

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.close()  # nobody asked: whatever this is, no later caller may read it
            return
        self._heard = self._loop.time()
        if self._raw == 0:
            if self._again(reply, data):
                return
            self._whole = data
        self._raw += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fault = self._fault or self._unless_complete("did not answer in HTTP/1.1")
            self._spoilt = True
        self._conclude(reply)

    def _again(self, reply: Reply, data: bytes) -> bool:
        """Whether this is all of an answer whose head is known: then there is nothing to parse."""
        head = self._known
        start = head and head.outline.start(data)
        if not head or not start:
            head = self._known = heads.find(data)
            if head is None:
                return False
            start = head.outline.start(data)
        if 0 < reply.terms.size < len(data) - start:
            return False
        if not reply.hold(len(data) - start):
            self._fault = _too_much_in_flight()
            self._conclude(reply)
            return True
        self.life = head.life or self.life
        self._reply = None
        self._idle_since = self._heard
        self._freed(self, self._heard)
        reply.settle(head, data[start:])
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(self)
        reply, self._reply = self._reply, None
        if self._timer is not None:
            self._timer.cancel()
        if reply is None:
            return
        if exc is None and self._head_done and not self._framed:
            reply.end(None)  # RFC 9112 section 6.3: without framing the body ends with the connection
        elif self._raw == 0 and self._is_no_to_our_certificate(exc):
            reply.end(UpstreamUnreachable(why_not(exc), Trouble.TLS))
        elif self._raw == 0:
            reply.end(Stale("the server closed the connection before it answered; the call may have been carried out"))
        else:
            cut = "the server closed the connection in the middle of its answer; the call may have been carried out"
            reply.end(UpstreamBroken(cut, Trouble.LOST))

    def _is_no_to_our_certificate(self, exc: Exception | None) -> TypeGuard[ssl.SSLError]:
        """TLS 1.3 tells it only now: with an alert, in place of the first answer of all.

        Any other fault of TLS can be made by whoever is on the way, after the server has heard the request.
        """
        first = self._idle_since == self.opened
        return first and isinstance(exc, ssl.SSLError) and "ALERT" in (exc.reason or "")

    def _unless_complete(self, sentence: str) -> UpstreamError | None:
        return None if self._complete else UpstreamBroken(f"the server {sentence}")

    def _conclude(self, reply: Reply) -> None:
        if self._is_too_large(reply.terms.size):
            self._fault = self._fault or _too_large("the server's answer, or the head of it, is too large")
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._reply = None
            self.close()
            reply.end(fault)
        elif self._complete:
            self._finish(reply)

    def _is_too_large(self, size: int) -> bool:
        if self._head_lines + len(self._lines) > HEAD_LINES:
            return True
        if self._raw <= HEAD_BYTES:
            return False  # nothing else can be, and this is how nearly every answer is
        if not self._head_done or self._head_bytes > HEAD_BYTES:
            return True
        return size > 0 and self._raw > 2 * size + FRAMING_FREE

    def _finish(self, reply: Reply) -> None:
        self._reply = None
        keep = self._keep_alive and not self._spoilt
        if keep and len(self._whole) == self._raw:
            heads.learn(self._whole, reply, self._head_lines, self.life)
        self._restart()
        if keep:
            self._idle_since = self._heard
            self._freed(self, self._heard)
        else:
            self.close()
        reply.end(None)

    # -- from the parser --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._spoilt = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        lines, self._lines = self._lines, []
        self._head_lines += len(lines)
        reply = self._reply
        if reply is None or self._complete or self._fault is not None:
            return
        if self._raw > HEAD_BYTES:  # otherwise no head can be too large
            self._head_bytes += sum([len(name) + len(value) for name, value in lines])
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            if self._interim > INTERIM_REPLIES:
                self._fault = UpstreamBroken("the server did not answer in HTTP/1.1")
            return
        self._read_lines(reply, lines)
        reply.status = status
        self._head_done = True
        self._keep_alive = self._parser.should_keep_alive()
        self._framed = self._framed or status in {204, 304}
        if reply.content_type == b"text/event-stream" and status == 200:
            reply.begin_stream()

    def _read_lines(self, reply: Reply, lines: list[tuple[bytes, bytes]]) -> None:
        for given, value in lines:
            name = given.lower()
            if name in _FRAMING:
                self._framed = True
            elif name == b"content-type":
                reply.content_type = value if value in _PLAIN_TYPES else value.partition(b";")[0].strip().lower()
            elif name == b"mcp-session-id":
                reply.session = value
            elif name == b"retry-after":
                reply.retry_after = value
            elif name in TOLD:
                reply.told = {**reply.told, name: value}
            elif name == b"www-authenticate":  # may come more than once, which is the same as one list (RFC 9110, 5.3)
                reply.challenge = b"%b, %b" % (reply.challenge, value) if reply.challenge else value
            elif name == b"keep-alive":
                self.life = _life(value)
            elif name == b"content-encoding" and value.strip().lower() not in {b"", b"identity"}:
                self._fault = UpstreamBroken("the server encoded its answer although it was asked not to")

    def on_body(self, piece: bytes) -> None:
        reply = self._reply
        if reply is None or self._fault is not None or self._complete:
            return
        size, most = len(piece), reply.terms.size
        self._pieces += 1
        if self._pieces > CHUNKS_FREE and reply.received < self._pieces * FLOOD_BYTES and most:
            self._fault = _too_large("the server cut its answer into too many pieces")
        elif most and reply.received + size > most:
            self._fault = _too_large("the server's answer is too large")
        elif not reply.hold(size):
            self._fault = _too_much_in_flight()
        elif reply.push(piece):
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True

    # -- deadlines --------------------------------------------------------------------------------------------------

    def _arm(self, delay: float) -> None:
        """One timer per connection, moved when it fires, so that a call in time costs none."""
        if self._timer is not None:
            if self._timer.when() <= self._started + delay:
                return
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        reply = self._reply
        if reply is None:
            return
        now = self._loop.time()
        if reply.patient:
            self._heard = now
        terms = reply.terms
        left = min(self._heard + terms.silence, self._started + terms.total) - now
        if left > 0:
            self._timer = self._loop.call_later(left, self._tick)
            return
        self._reply = None
        self.close()
        reply.end(UpstreamSlow("the server did not answer in time; the call may have been carried out"))


_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_PLAIN_TYPES = frozenset({b"application/json", b"text/event-stream"})


def _too_large(message: str) -> UpstreamBroken:
    return UpstreamBroken(message, Trouble.TOO_LARGE)


def _too_much_in_flight() -> UpstreamBusy:
    sentence = "too many bytes are in flight at this gateway; the call may have been carried out"
    return UpstreamBusy(sentence, trouble=Trouble.FULL)


def _life(value: bytes) -> float:
    """How long an idle connection may be used again, after `Keep-Alive: timeout=5`."""
    for part in value.split(b","):
        name, _, number = part.strip().partition(b"=")
        if name.lower() == b"timeout" and number.isdigit():
            return min(max(float(number[:4]) - 1, 0.0), 60.0)
    return IDLE_LIFE
