"""What came back on a connection: whole, or piece by piece when it is an event stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.running import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.egress.budget import Budget
    from gateway.egress.connection import Connection
    from gateway.egress.heads import Head
    from gateway.upstream import UpstreamError

PAUSE_AT = 256 * 1024  # bytes of a stream nobody has read yet, at which we stop reading from the server


@dataclass(frozen=True, slots=True)
class Terms:
    """What an exchange may take: seconds of silence, seconds in all, decoded bytes (0: an endless stream)."""

    silence: float
    total: float
    size: int


class Reply(Signal):
    """Whoever gets one closes it: that gives its bytes back to the budget and ends what still comes.

    Awaiting it waits for the whole of it, or for the head of an event stream. Of a stream whose head has come, `then`
    is what to do when more has.
    """

    status = 0
    content_type = b""
    session = b""
    retry_after = b""
    challenge = b""  # what WWW-Authenticate says (RFC 9110 section 11.6.1)
    told: Mapping[bytes, bytes] = MappingProxyType({})  # some other headers, by their names in small letters
    received = 0
    stream = False
    patient = False  # silence is ours: somebody is being asked something
    _waiting = 0
    _ended = False
    _discarding = False
    _paused = False
    _broken: UpstreamError | None = None
    _reader: asyncio.Future[None] | None = None

    def __init__(self, connection: Connection, budget: Budget, terms: Terms, size: int) -> None:
        self._connection = connection
        self._budget = budget
        self._pieces: list[bytes] = []
        self._held = size
        self.terms = terms
        budget.used += size

    def body(self) -> bytes:
        """All of it; only when it is no stream."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    @property
    def pieces(self) -> int:
        """How many have come that nobody took."""
        return len(self._pieces)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    async def more(self) -> bytes:
        """The next bytes of a stream, or none at its end."""
        while not self._pieces:
            if self._broken is not None:
                raise self._broken
            if self._ended:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        piece = self.body()
        self._pieces.clear()
        self._waiting = 0
        self._give(len(piece))
        if self._paused:
            self._paused = self.patient = False
            self._connection.resume()
        return piece

    def close(self) -> None:
        """Done with it. What has not arrived yet will not, unless it is left to `drain`."""
        self._budget.give(self._held)
        self._held = 0
        if not self._ended and not self._discarding:
            self._ended = True
            self._connection.abandon(self)

    def drain(self) -> None:
        """Done with a stream whose answer has been read: what still comes is thrown away, but it may end by itself."""
        self._discarding = True
        self._pieces.clear()
        self._give(self._held)
        if not self._ended:
            self.patient = self._paused = False
            self._connection.drain(self)

    # -- from the connection ----------------------------------------------------------------------------------------

    def hold(self, size: int) -> bool:
        if self._discarding:
            return True
        self._held += size
        return self._budget.take(size)

    def _give(self, size: int) -> None:
        self._held -= size
        self._budget.give(size)

    def begin_stream(self) -> None:
        self.stream = True
        asyncio.get_running_loop().call_soon(self.set)  # we are in the middle of a head

    def push(self, piece: bytes) -> bool:
        """Take a piece; whether the server should pause."""
        self.received += len(piece)
        if self._discarding:
            return False
        self._pieces.append(piece)
        if not self.stream:
            return False
        self._waiting += len(piece)
        self._wake()
        if self._waiting < PAUSE_AT or self._paused:
            return False
        self._paused = self.patient = True
        return True

    def end(self, fault: UpstreamError | None) -> None:
        """The last of it has come, or `fault` happened instead."""
        self._ended = True
        self._broken = fault
        if self.come:
            self._wake()
        else:
            self.set(fault)

    def settle(self, head: Head, body: bytes) -> None:
        """All of it has come at once, behind a head that is known; what it holds is counted already."""
        self.status, self.content_type = head.status, head.content_type
        if head.unusual:
            self.session, self.retry_after, self.challenge, self.told = head.unusual
        self.received = len(body)
        self._pieces.append(body)
        self._ended = True
        self.set()

    def fail(self, fault: UpstreamError) -> None:
        """Somebody on our side found that it cannot go on."""
        if not self._ended:
            self._connection.abandon(self)
            self.end(fault)

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)
        elif self.come and self.then is not None:
            asyncio.get_running_loop().call_soon(self._tell)  # we are in the middle of a piece

    def _tell(self) -> None:
        then, self.then = self.then, None
        if then is not None:
            then()
