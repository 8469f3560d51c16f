"""The HTTP/1.1 connection: what uvicorn's protocol leaves open (limits, deadlines, target form) is closed here.

RFC 9112: only origin-form targets (3.2.1), one framing (6.3), no obsolete leniency. llhttp refuses most of it by
itself; the rest is refused before a request reaches any application.
"""

from __future__ import annotations

from asyncio import Event
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.edge.unread import Unread

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

HEAD_LIMIT: Final = 64 * 1024  # bytes of request line and headers
HEADER_LIMIT: Final = 100
HEAD_DEADLINE: Final = 5.0  # seconds from a head's first byte to its last
BODY_DEADLINE: Final = 30.0
WRITE_DEADLINE: Final = 30.0  # how long a client may not read at all
LINGER: Final = 2.0  # seconds for which a client that was refused may go on sending
FRAMING_LIMIT: Final = 16 * 1024  # bytes of chunk headers, extensions and trailers beyond the body's own length
KEPT: Final = 64  # bytes of a value of an answer's header up to which its line is remembered
_FRAMED: Final = frozenset((b"expect", b"transfer-encoding"))

_TEXT: Final = {
    400: b"This is not a well-formed HTTP/1.1 request in origin form.",
    408: b"The request did not arrive in time.",
    431: b"The request has too many header fields, or too large ones.",
}


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class Cycle(RequestResponseCycle):
    """uvicorn's, but the head of an answer waits for the first of its body, so that both go out in one write."""

    _answer_head: bytes = b""

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._start(message)
        elif not self.response_complete:
            self._continue(message)
        else:
            raise RuntimeError("an answer was sent twice")

    def _start(self, message: Any) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[message["status"]]]
        for name, value in message.get("headers", ()):
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
                continue
            lines.append((_line if len(value) <= KEPT else _line.__wrapped__)(name, value))
        self._answer_head = b"".join(lines) + self._framing(message["status"])

    def _framing(self, status: int) -> bytes:
        """The last lines of the head: how the body is delimited, and whether the connection stays."""
        last = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in {204, 304}:
            self.chunked_encoding = True
            return b"transfer-encoding: chunked\r\n" + last
        return last

    def _continue(self, message: Any) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self._account(len(body), last=not more)
        if self._answer_head or body:
            self.transport.write(self._answer_head + body)
            self._answer_head = b""
        if not more:
            self._end()

    def _account(self, size: int, *, last: bool) -> None:
        self.expected_content_length -= size
        if self.expected_content_length < 0 or (last and self.expected_content_length):
            raise RuntimeError("the body of an answer is not as long as its Content-Length says")

    def _end(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.scope["ostiary.line"].part()  # type: ignore[typeddict-item]
        self.on_response()


class EdgeProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with limits. `scope["ostiary.line"]` is it: see `when_lost`.

    `when_lost` holds what to call when the connection ends while a request is under way: cheaper than a task that
    waits for it, which every call would pay.
    """

    unread: Unread = Unread()  # of all connections of this process

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.when_lost: set[Callable[[], object]] = set()
        self.when_stopping: set[Callable[[], object]] = set()  # for answers that would not end by themselves
        self._in_head = True
        self._head = 0
        self._came = 0
        self._framing = 0
        self._chunked = False
        self._refusal = 400
        self._parting = False
        self._deadline: TimerHandle | None = None
        self._write_deadline: TimerHandle | None = None
        self._idle: TimerHandle | None = None
        self._idle_since = 0.0

    # Connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch(HEAD_DEADLINE, self._nothing_came)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()
        self.unread.drop(self.transport)
        for timer in (self._write_deadline, self._idle):
            if timer is not None:
                timer.cancel()
        for call in tuple(self.when_lost):
            call()

    def shutdown(self) -> None:
        super().shutdown()
        for call in tuple(self.when_stopping):
            call()

    def data_received(self, data: bytes) -> None:
        if self._parting:
            return
        self._came = len(data)
        if self._chunked and not self._in_head:
            self._framing += self._came
        else:
            self._head += self._came
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:  # our own refusals come back wrapped in it
            self._refuse(self._refusal)
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        else:
            self._after_data()

    def _after_data(self) -> None:
        if self._in_head:
            if self._head > HEAD_LIMIT:
                self._refuse(431)
            elif self._head and self._deadline is None:
                self._watch(HEAD_DEADLINE, self._too_slow)
        elif self._chunked and self._framing > FRAMING_LIMIT:
            self._refuse(400)
        elif self._deadline is None:
            self._watch(BODY_DEADLINE, self._too_slow)

    # Parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._refusal = 400

    def on_header(self, name: bytes, value: bytes) -> None:
        headers = self.headers
        if len(headers) >= HEADER_LIMIT:
            self._refusal = 431
            raise _Refused(431)
        name = name.lower()
        headers.append((name, value))
        if name in _FRAMED and self._in_head:
            self._frame(name, value.lower())

    def _frame(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = self.expect_100_continue or value == b"100-continue"
        elif value != b"chunked" or self._chunked:
            raise _Refused(400)
        else:
            self._chunked = True

    def on_headers_complete(self) -> None:
        """As uvicorn's, with a cycle of our own, and without what we switched off (WebSocket, root path, limits)."""
        self._check_head()
        self._unwatch()
        self._in_head = False
        self._head = self._framing = 0
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["ostiary.line"] = self
        scope["method"] = self.parser.get_method().decode("ascii")
        path, _, scope["query_string"] = self.url.partition(b"?")
        scope["raw_path"] = path
        text = path.decode("ascii")
        scope["path"] = unquote(text) if "%" in text else text
        self.headers = []  # what a trailer says is nobody's header (RFC 9110 section 6.5.1)
        self._begin(scope["http_version"] != "1.0" and self.parser.should_keep_alive())

    def _begin(self, keep_alive: bool) -> None:
        before = self.cycle
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _check_head(self) -> None:
        if not self.url.startswith(b"/") or b"#" in self.url or self.parser.should_upgrade():
            raise _Refused(400)
        if self._head + self._came > HEAD_LIMIT:  # no head is larger than what came since the last one
            self._check_size()
        self._check_version(self.parser.get_http_version())

    def _check_size(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > HEAD_LIMIT:
            self._refusal = 431
            raise _Refused(431)

    def _check_version(self, version: str) -> None:
        if version != "1.1":
            if version != "1.0":
                raise _Refused(400)
            self.scope["http_version"] = version

    def on_body(self, body: bytes) -> None:
        self._framing -= 2 * len(body)  # a chunk's own bytes pay for a header of the same size
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unwatch()
        self._in_head = True
        self._head = 0
        self._chunked = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, with one timer for a connection's life instead of one for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _look_idle(self) -> None:
        self._idle = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if not self.cycle.response_complete:
            left = self.timeout_keep_alive
        if left > 0:
            self._idle = self.loop.call_later(left, self._look_idle)
        elif not self.transport.is_closing():
            self.transport.close()

    # Deadlines

    def _watch(self, seconds: float, late: Callable[[], None]) -> None:
        self._unwatch()
        self._deadline = self.loop.call_later(seconds, late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _nothing_came(self) -> None:
        if self._head:
            self._too_slow()
        else:
            self.transport.close()

    def _too_slow(self) -> None:
        self._refuse(408)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.add(self.transport)
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(WRITE_DEADLINE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.drop(self.transport)
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _refuse(self, status: int) -> None:
        """Answers, unless an answer is under way already, and closes."""
        self._unwatch()
        if self.transport.is_closing() or self._parting:
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_refusal(status))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._in_head = False
        self.part()

    def part(self) -> None:
        """Closes; but while the client is still sending, listens on for a moment without hearing.

        To close a socket with unread bytes in it resets the connection, and the client may lose the answer.
        """
        if self._in_head or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._parting = True
        self._unwatch()
        self.transport.write_eof()
        self._watch(LINGER, self.transport.close)


@lru_cache(maxsize=1024)
def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("a header of an answer has a character that none may have")
    return b"%s: %s\r\n" % (name, value)


def _refusal(status: int) -> bytes:
    text = _TEXT[status] + b"\n"
    return b"%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        STATUS_LINE[status],
        len(text),
        text,
    )
