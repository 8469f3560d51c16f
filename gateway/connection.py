"""The HTTP/1.1 connection: what uvicorn's protocol leaves open (limits, deadlines, target form) is closed here.

RFC 9112: only origin-form targets (3.2.1), one framing (6.3), no obsolete leniency. llhttp refuses most of it by
itself; the rest is refused before a request reaches any application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

HEAD_LIMIT: Final = 64 * 1024  # bytes of request line and headers
HEADER_LIMIT: Final = 100
HEAD_DEADLINE: Final = 5.0  # seconds from a head's first byte to its last
BODY_DEADLINE: Final = 30.0
WRITE_DEADLINE: Final = 30.0  # how long a client may not read at all
FRAMING_LIMIT: Final = 16 * 1024  # bytes of chunk headers, extensions and trailers beyond the body's own length

_TEXT: Final = {
    400: b"This is not a well-formed HTTP/1.1 request in origin form.",
    408: b"The request did not arrive in time.",
    431: b"The request has too many header fields, or too large ones.",
}


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class EdgeProtocol(HttpToolsProtocol):
    """uvicorn's httptools protocol with limits. `scope["ostiary.line"]` is it: see `when_lost`.

    `when_lost` holds what to call when the connection ends while a request is under way: cheaper than a task that
    waits for it, which every call would pay.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.when_lost: set[Callable[[], object]] = set()
        self._in_head = True
        self._head = 0
        self._framing = 0
        self._chunked = False
        self._refusal = 400
        self._deadline: TimerHandle | None = None
        self._write_deadline: TimerHandle | None = None

    # Connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch(HEAD_DEADLINE, self._nothing_came)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unwatch()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
        for call in tuple(self.when_lost):
            call()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._chunked and not self._in_head:
            self._framing += len(data)
        else:
            self._head += len(data)
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
        if len(self.headers) >= HEADER_LIMIT:
            self._refusal = 431
            raise _Refused(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._check_head()
        self._unwatch()
        self._in_head = False
        self._head = self._framing = 0
        self.scope["ostiary.line"] = self  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()
        self.headers = []  # what a trailer says is nobody's header (RFC 9110 section 6.5.1)

    def _check_head(self) -> None:
        if not self.url.startswith(b"/") or b"#" in self.url or self.parser.should_upgrade():
            raise _Refused(400)
        self._chunked = False
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value) + 4
            if name == b"transfer-encoding":
                if value.lower() != b"chunked" or self._chunked:
                    raise _Refused(400)
                self._chunked = True
        if size > HEAD_LIMIT:
            self._refusal = 431
            raise _Refused(431)
        if self.parser.get_http_version() not in {"1.1", "1.0"}:
            raise _Refused(400)

    def on_body(self, body: bytes) -> None:
        self._framing -= 2 * len(body)  # a chunk's own bytes pay for a header of the same size
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unwatch()
        self._in_head = True
        self._head = 0
        self._chunked = False
        super().on_message_complete()

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
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(WRITE_DEADLINE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _refuse(self, status: int) -> None:
        """Answers, unless an answer is under way already, and closes."""
        self._unwatch()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            self.transport.write(_refusal(status))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()


def _refusal(status: int) -> bytes:
    text = _TEXT[status] + b"\n"
    return b"%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        STATUS_LINE[status],
        len(text),
        text,
    )
