"""The answer to one HTTP request: what is written, and how it is framed (RFC 9112 section 6)."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.edge.connection import EdgeProtocol

KEPT: Final = 64  # bytes of a value of a header up to which its line is remembered


class Answer:
    """Head and body go out in as few writes as there can be.

    Its attributes are those of uvicorn's cycle, which uvicorn's protocol looks at.
    """

    line: EdgeProtocol
    is_head = False
    keep_alive = True
    disconnected = False
    response_started = False
    response_complete = False
    waiting_for_100_continue = False
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _answer_head = b""

    def begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """The head, which waits for the first of the body."""
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if name == b"content-length":
                self.expected_content_length = int(value)
                self.chunked_encoding = False
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
                continue
            lines.append(header_line(name, value))
        self._answer_head = b"".join(lines) + self._framing(status)

    def _framing(self, status: int) -> bytes:
        """The last lines of the head: how the body is delimited, and whether the connection stays."""
        last = b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n"
        if self.chunked_encoding is None and not self.is_head and status not in {204, 304}:
            self.chunked_encoding = True
            return b"transfer-encoding: chunked\r\n" + last
        return last

    def write(self, body: bytes, *, more: bool) -> None:
        """A piece of the body; the last unless there is more."""
        if self.is_head:
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self._account(len(body), last=not more)
        if self._answer_head or body:
            self.line.transport.write(self._answer_head + body)
            self._answer_head = b""
        if not more:
            self._end()

    def _account(self, size: int, *, last: bool) -> None:
        self.expected_content_length -= size
        if self.expected_content_length < 0 or (last and self.expected_content_length):
            raise RuntimeError("the body of an answer is not as long as its Content-Length says")

    def _end(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.line.part()
        self.line.on_response_complete()

    def lost(self) -> None:
        """Nobody is there any more who could hear it."""
        self.disconnected = True


class Cycle(Answer, RequestResponseCycle):
    """The answer of an ASGI application."""

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self.begin(message["status"], message.get("headers", ()))
        elif not self.response_complete:
            self.write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError("an answer was sent twice")

    def start(self) -> None:
        """Its turn has come."""
        self.line._start_asgi_task(self, self.line.app)  # noqa: SLF001 - uvicorn's name for it

    def take_body(self, piece: bytes) -> None:
        """What of the request's body has come."""
        self.body += piece
        self.message_event.set()

    def take_end(self) -> None:
        """That was all."""
        self.more_body = False
        self.message_event.set()

    def _end(self) -> None:
        self.message_event.set()
        super()._end()

    def lost(self) -> None:
        super().lost()
        self.message_event.set()


def cycle(line: EdgeProtocol, scope: Any, *, expect: bool, keep_alive: bool) -> Cycle:
    """The answer to a request that goes to an ASGI application."""
    made = Cycle(
        scope=scope,
        transport=line.transport,
        flow=line.flow,
        logger=line.logger,
        access_logger=line.access_logger,
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=expect,
        keep_alive=keep_alive,
        on_response=line.on_response_complete,
    )
    made.line = line
    made.is_head = scope["method"] == "HEAD"
    return made


def header_line(name: bytes, value: bytes) -> bytes:
    """A line of an answer's head. Raises RuntimeError for what would be more than one, or none."""
    return (_line if len(value) <= KEPT else _line.__wrapped__)(name, value)


@lru_cache(maxsize=1024)
def _line(name: bytes, value: bytes) -> bytes:
    if HEADER_RE.search(name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("a header of an answer has a character that none may have")
    return b"%s: %s\r\n" % (name, value)
