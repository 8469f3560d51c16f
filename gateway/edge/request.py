"""One request of the data plane, as its connection hands it over: once with its head, and again with its body.

The data plane is no ASGI application. A call asks for its server before the loop has gone round, and is answered by
whoever brings the answer; a scope, messages and a task for each would cost more than the rest of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.edge.answer import Answer, header_line
from gateway.running import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from gateway.edge.connection import EdgeProtocol
    from gateway.edge.heads import Head

Lines = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"
_HEAD: Final = b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n"
_USUAL: Final = STATUS_LINE[200] + b"content-type: %b\r\ncontent-length: %%d\r\n\r\n%%b" % JSON
_CLOSE: Final = b"connection: close\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Running(Protocol):
    """What answers a request, while it does."""

    def cancel(self, msg: object = None, /) -> bool: ...


class Request(Answer):
    """What came, and the way to answer it.

    `headers` has the last of doubled ones, `lines` all of them as they came.

    Whoever wants the body leaves a `taker` when the head comes; it is called at most once, with all of it.
    """

    taker: Callable[[bytes], None] | None = None
    run: Running
    recalled = False  # what allowed it has been revoked meanwhile
    ends_with_client = False  # whether nobody wants the answer when the client has hung up
    head: Head | None = None  # its head, where one like it may come again
    expects = False  # a word from us before it sends its body (RFC 9110 section 10.1.1)
    _size = 0
    _ended = False
    _begun = False

    def __init__(
        self,
        line: EdgeProtocol,
        method: str,
        path: bytes,
        query: bytes,
        headers: Mapping[bytes, bytes],
        lines: list[tuple[bytes, bytes]],
    ) -> None:
        self.line = line
        self.method = method
        self.is_head = method == "HEAD"
        self.path = path
        self.query = query
        self.headers = headers
        self.lines = lines
        self._came: list[bytes] = []

    # Coming in

    def start(self) -> None:
        """Its turn has come: nothing before it on this connection waits for an answer."""
        self._begun = True
        self.line.edge.enter(self)
        if self._ended:
            self._hand_over()
        elif self.expects and self.taker is not None:
            self.line.transport.write(_CONTINUE)

    def start_whole(self, body: bytes) -> None:
        """Its head and its body came at once, and nothing before it waits for an answer."""
        self._begun = self._ended = True
        portal = self.line.edge.portal
        if portal is not None and portal.again(self, body):
            return
        self._came.append(body)
        self.line.edge.enter(self)
        self._hand_over()

    def remember(self, found: object, under: object) -> None:
        """Whoever sends this head was let in: the next one like it need not be read again, as long as `under` holds."""
        if self.head is not None:
            self.line.edge.heads.keep(self.line.peer, self.head, under)
            self.head.found = found

    def take_body(self, piece: bytes) -> None:
        self._came.append(piece)
        self._size += len(piece)
        if self._size > self.line.edge.limit:
            self._came.clear()
            self.taker = None
            self.line.edge.refuse_size(self)

    def take_end(self) -> None:
        self._ended = True
        if self._begun:
            self._hand_over()

    def _hand_over(self) -> None:
        taker, self.taker = self.taker, None
        if taker is not None:
            came, self._came = self._came, []
            taker(came[0] if len(came) == 1 else b"".join(came))

    # Going out

    def serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, which ends with an answer, now, and as far as it goes without waiting."""
        tasks: Any = self.line.tasks  # what a server that is told to stop waits for, and cancels in the end
        self.run = run = Run(work, tasks.discard)
        tasks.add(run)
        run.step()

    def whole(self, status: int, kind: bytes, body: bytes, headers: Lines = ()) -> None:
        """The whole answer, in one write."""
        if self.disconnected:
            return
        if self.response_started:
            raise RuntimeError("an answer was sent twice")
        self.response_started = True
        if status == 200 and kind is JSON and self.keep_alive and not headers and not self.is_head:
            self.line.transport.write(_USUAL % (len(body), body))
        else:
            lines = b"".join([header_line(name, value) for name, value in headers])
            head = _HEAD % (STATUS_LINE[status], kind, len(body), lines, b"" if self.keep_alive else _CLOSE)
            self.line.transport.write(head if self.is_head else head + body)
        self._end()

    def lost(self) -> None:
        super().lost()
        self.taker = None
        if self.ends_with_client and not self.response_complete:
            self.run.cancel()

    async def drain(self) -> bool:
        """Waits until the client has read enough; whether it is still there."""
        if self.line.flow.write_paused and not self.disconnected:
            await self.line.flow.drain()
        return not self.disconnected
