"""The HTTP/1.1 connection: what uvicorn's protocol leaves open (limits, deadlines, target form) is closed here.

RFC 9112: only origin-form targets (3.2.1), one framing (6.3), no obsolete leniency. llhttp refuses most of it by
itself; the rest is refused before a request reaches any application.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.edge.answer import Cycle, cycle
from gateway.edge.heads import Head, outline_of
from gateway.edge.patience import Patience
from gateway.edge.request import Request

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Callable

    from gateway.edge.middleware import Edge

log = logging.getLogger("ostiary")

MOUNTS: Final = (b"/mcp", b"/servers/")  # where the data plane begins

HEAD_LIMIT: Final = 64 * 1024  # bytes of request line and headers
HEADER_LIMIT: Final = 100
HEAD_DEADLINE: Final = 5.0  # seconds from a head's first byte to its last
BODY_DEADLINE: Final = 30.0
LINGER: Final = 2.0  # seconds for which a client that was refused may go on sending
FRAMING_LIMIT: Final = 16 * 1024  # bytes of chunk headers, extensions and trailers beyond the body's own length

_TEXT: Final = {
    400: b"This is not a well-formed HTTP/1.1 request in origin form.",
    408: b"The request did not arrive in time.",
    500: b"Something broke on our side; it is in the gateway's log.",
    431: b"The request has too many header fields, or too large ones.",
}


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


class EdgeProtocol(Patience):
    """uvicorn's httptools protocol with limits. `scope["ostiary.line"]` is it: see `when_lost`.

    `when_lost` holds what to call when the connection ends while a request is under way: cheaper than a task that
    waits for it, which every call would pay.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edge: Edge = self.config.loaded_app
        self.peer = ""
        self._serving: Request | Cycle | None = None  # what is being answered; `cycle` is what is being read
        self.when_lost: set[Callable[[], object]] = set()
        self.when_stopping: set[Callable[[], object]] = set()  # for answers that would not end by themselves
        self._known: Head | None = None  # the last one that was known
        self._in_head = True
        self._head = 0
        self._came = 0
        self._data = b""  # what came last, as long as the request that it begins with is being read
        self._framing = 0
        self._chunked = False
        self._parting = False

    # Connection

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = self.client[0].removeprefix("::ffff:") if self.client else ""  # IPv4 on a socket that takes both
        self._watch(HEAD_DEADLINE, self._nothing_came)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)
        if self._serving is not None:
            self._serving.lost()
            self._answer.lost()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None  # type: ignore[assignment]
        self._forget_timers()
        for call in tuple(self.when_lost):
            call()

    def shutdown(self) -> None:
        super().shutdown()
        if self._parting:
            self.transport.close()
        for call in tuple(self.when_stopping):
            call()

    def data_received(self, data: bytes) -> None:
        if self._parting or (self._in_head and not self._head and self._again(data)):
            return
        self._came = len(data)
        self._data = data if self._in_head and not self._head else b""
        if self._chunked and not self._in_head:
            self._framing += self._came
        else:
            self._head += self._came
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(self._broke(error.__context__))
        except httptools.HttpParserError:
            self._refuse(400)
        except httptools.HttpParserUpgrade:
            self._refuse(400)
        else:
            self._after_data()

    def _again(self, data: bytes) -> bool:
        """Whether this is all of a request, and nothing else, whose head is known: then there is nothing to parse."""
        head = self._known
        start = head and head.outline.start(data)
        if not head or not start:
            head = self._known = self.edge.heads.find(self.peer, data)
            if head is None:
                return False
            start = head.outline.start(data)
        if len(data) - start > self.edge.limit or self.transport.is_closing():
            return False
        if self.flow.write_paused or (self.cycle is not None and not self.cycle.response_complete):
            return False
        if self._deadline is not None:
            self._unwatch()
        request = Request(self, "POST", head.path, head.query, head.headers, head.lines)
        request.keep_alive, request.head = head.keep_alive, head
        self.cycle = self._serving = request  # type: ignore[assignment] # uvicorn's name for it
        try:
            request.start_whole(data[start:])
        except Exception as error:  # noqa: BLE001 - as what is raised in a callback of the parser
            self._refuse(self._broke(error))
        return True

    def _broke(self, error: BaseException | None) -> int:
        """The status for what was raised in a callback of the parser: a refusal of ours, or a fault of ours."""
        if isinstance(error, _Refused):
            return error.status
        shown = error if log.isEnabledFor(logging.DEBUG) else None
        log.error("a connection broke: %s", type(error).__name__, exc_info=shown)
        return 500

    def _after_data(self) -> None:
        if self._in_head:
            if self._head > HEAD_LIMIT:
                self._refuse(431)
            elif self._head and self._deadline is None and not self.flow.read_paused:  # or it is we who keep it waiting
                self._watch(HEAD_DEADLINE, self._too_slow)
        elif self._chunked and self._framing > FRAMING_LIMIT:
            self._refuse(400)
        elif self._deadline is None:
            self._watch(BODY_DEADLINE, self._too_slow)

    # Parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._head = self._head or 1  # behind the end of another: some of it has come, so what comes next is its rest

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))  # and no more here: it is called for each of a dozen

    def on_headers_complete(self) -> None:
        """As uvicorn's, without what we switched off (WebSocket, root path, limits). The data plane is no ASGI."""
        if self._parting or self.transport.is_closing():
            raise _Refused(400)  # which nobody hears: an answer has ended this connection already
        lines, self.headers = self.headers, []  # what a trailer says is nobody's (RFC 9110 section 6.5.1)
        fields = {name.lower(): value for name, value in lines}
        self._check_fields(lines, fields)
        method, version = self._check_head()
        if self._deadline is not None:
            self._unwatch()
        self._in_head = False
        self._head = self._framing = 0
        path, _, query = self.url.partition(b"?")
        keep_alive = version != "1.0" and self.parser.should_keep_alive()
        if path.startswith(MOUNTS) and self.edge.portal is not None:
            request = Request(self, method, path, query, fields, lines)
            request.keep_alive = keep_alive
            request.expects = self.expect_100_continue
            request.head = self._readable(request, fields, lines)
            self._next(request)
        else:
            headers = [(name.lower(), value) for name, value in lines]
            scope = self._scope(version, method, path, query, headers)
            self._next(cycle(self, scope, expect=self.expect_100_continue, keep_alive=keep_alive))

    def _readable(self, request: Request, fields: dict[bytes, bytes], lines: list[tuple[bytes, bytes]]) -> Head | None:
        """The head that is being read, if one like it may come again: a whole one, of a body whose end is known."""
        if b"content-length" not in fields or self._chunked or self.expect_100_continue or not self._data:
            return None
        outline = outline_of(self._data, self.url)
        if outline is None:
            return None
        return Head(outline, request.path, request.query, fields, lines, request.keep_alive)

    def _scope(
        self, version: str, method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]]
    ) -> dict[str, Any]:
        text = path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": method,
            "root_path": "",
            "path": unquote(text) if "%" in text else text,
            "raw_path": path,
            "query_string": query,
            "headers": headers,
            "state": self.app_state.copy(),
            "ostiary.line": self,
        }

    def _next(self, answer: Request | Cycle) -> None:
        before: Any = self.cycle
        self.cycle = answer  # type: ignore[assignment] # uvicorn's name for it
        if (before is None or before.response_complete) and not self.flow.write_paused:
            self._serving = answer
            answer.start()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft(answer)  # type: ignore[arg-type]

    def _check_fields(self, lines: list[tuple[bytes, bytes]], fields: dict[bytes, bytes]) -> None:
        if len(lines) > HEADER_LIMIT:
            raise _Refused(431)
        if self._head + self._came > HEAD_LIMIT:  # no head is larger than what came since the last one
            self._check_size(lines)
        self.expect_100_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        if b"transfer-encoding" in fields:
            if [value.lower() for name, value in lines if name.lower() == b"transfer-encoding"] != [b"chunked"]:
                raise _Refused(400)
            self._chunked = True

    def _check_head(self) -> tuple[str, str]:
        """Gives the method and the version of HTTP."""
        if not self.url.startswith(b"/") or b"#" in self.url or self.parser.should_upgrade():
            raise _Refused(400)
        if self._data.startswith(b"POST %b HTTP/1.1\r\n" % self.url):  # asking the parser costs more than a call has
            return "POST", "1.1"
        version: str = self.parser.get_http_version()
        if version not in {"1.1", "1.0"}:
            raise _Refused(400)
        return self.parser.get_method().decode("ascii"), version

    def _check_size(self, lines: list[tuple[bytes, bytes]]) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in lines) > HEAD_LIMIT:
            raise _Refused(431)

    def on_body(self, body: bytes) -> None:
        self._framing -= 2 * len(body)  # a chunk's own bytes pay for a header of the same size
        if not self._answer.response_complete:
            self._answer.take_body(body)

    def on_message_complete(self) -> None:
        if self._deadline is not None:
            self._unwatch()
        self._in_head = True
        self._head = 0
        self._data = b""
        self._chunked = False
        if self._parting:
            self.transport.close()
        elif not self._answer.response_complete:
            self._answer.take_end()

    @property
    def _answer(self) -> Request | Cycle:
        """To the request that was begun last."""
        return self.cycle  # type: ignore[return-value]

    def on_response_complete(self) -> None:
        """As uvicorn's, with one timer for a connection's life instead of one for each request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.write_paused:
            return  # `resume_writing` goes on from here
        self._go_on()

    def _go_on(self) -> None:
        """To the next in line; not within the answer of the one before, for there may be thousands."""
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            following: Any = self.pipeline.pop()
            self._serving = following
            self.loop.call_soon(self._begin, following)
        else:
            self._rest()

    def _begin(self, following: Request | Cycle) -> None:
        if not following.disconnected:
            following.start()

    def pause_writing(self) -> None:
        """Whoever does not read its answers is asked for nothing more, and begun no more: they would pile up here."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.transport.is_closing():
            return
        if self._serving is None or self._serving.response_complete:
            self._go_on()
        elif not self.pipeline:  # a stream goes on, and its client may hang up
            self.flow.resume_reading()

    def _nothing_came(self) -> None:
        if self._head:
            self._too_slow()
        else:
            self.transport.close()

    def _too_slow(self) -> None:
        self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answers, unless an answer is under way already, and closes."""
        self._unwatch()
        if self.transport.is_closing() or self._parting:
            return
        serving, last = self._serving, self.cycle
        if serving is None or serving.response_complete or (serving is last and not serving.response_started):
            self.transport.write(_refusal(status))
        for answer in {serving, self._answer} if last is not None else ():
            if answer is not None and not answer.response_complete:
                answer.lost()
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
        self.pipeline.clear()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._watch(LINGER, self.transport.close)


def _refusal(status: int) -> bytes:
    text = _TEXT[status] + b"\n"
    return b"%scontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (
        STATUS_LINE[status],
        len(text),
        text,
    )
