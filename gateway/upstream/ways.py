"""Calls of a tool at one server that differ in nothing but their arguments: what is the same is made once.

Such a call leaves at once where a connection waits for it, and its answer is read where it comes, if it is as nearly
all are. For everything else there is the long way (`gateway.upstream.modern`, `gateway.upstream.legacy.engine`), which
it can take from any point on. This is the way to a modern server; see `gateway.upstream.legacy.ways` for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.upstream import UpstreamError
from gateway.upstream.conversation import JSON
from gateway.upstream.envelope import FRAME, modern_frame, modern_lines
from gateway.upstream.messages import next_id
from gateway.upstream.modern import answered
from gateway.upstream.plain import message_in, of_modern

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.egress.connection import Connection
    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply, Terms
    from gateway.egress.routes import Route
    from gateway.upstream import Answer, Ask, Downstream
    from gateway.upstream.legacy.sessions import Session
    from gateway.upstream.limits import Gate
    from registry.catalogue import Credential

    Reader = Callable[[bytes, int], bytes]  # the plain result in an answer to the request of that number


class Way:
    """All that leaves with each such call, but for its id, the arguments and the credential.

    `read` takes the answers apart; `bare` says that what it gives has no word that earlier revisions do not know.
    """

    __slots__ = ("_back", "_front", "_lines", "_session", "ask", "bare", "egress", "gate", "read", "route", "terms")

    def __init__(self, egress: Egress, route: Route, ask: Ask, gate: Gate, terms: Terms) -> None:
        self.egress, self.route, self.ask, self.gate, self.terms = egress, route, ask, gate, terms
        self._session: Session | None = None
        self._prepare()

    def _prepare(self) -> None:
        self._lines = modern_lines(self.ask)
        self._front, self._back = modern_frame(self.ask)
        self.read: Reader = of_modern
        self.bare = False

    def trip(self, arguments: bytes, credential: Credential | None) -> Trip | None:
        """A call that can leave now, and has not yet; None where there is anything to wait for or to say against it."""
        gate, egress = self.gate, self.egress
        waiting = egress.waiting(self.route)
        if waiting is None or not gate.is_open() or (credential is not None and credential.heard is not None):
            return None
        number = next_id()
        body = FRAME % (number, self._front, arguments, self._back)
        if not egress.budget.admits(len(body)):
            return None
        try:
            request = egress.written(self.route, self._lines, body, credential)
        except UpstreamError:
            return None
        gate.under_way += 1
        return Trip(self, number, request, waiting, waiting.pop(), self._session)

    def along(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        """The same for a call that may have to wait."""
        return passed(self.gate, self.ask, self._sent, arguments, credential, down)

    def _sent(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        number = next_id()
        body = FRAME % (number, self._front, arguments, self._back)
        sent = self.egress.exchange(self.route, "POST", self._lines, body, self.terms, credential=credential)
        return answered(sent, number, self.ask, down)

    def rest(self, trip: Trip, arguments: bytes, down: Callable[[], Downstream]) -> Coroutine[None, None, Answer]:  # noqa: ARG002
        """What is left of a call that is on its way, by the long way, whatever has come or will."""
        return passed(self.gate, self.ask, answered, trip.settled(), trip.number, self.ask, down, entered=True)


class Trip(msgspec.Struct):
    """One such call, which has its connection, and at a legacy server its session. It leaves, or is taken `back`.

    When something of its reply has come, there is a `result`, and then its `end`; or there is only the rest of it.
    """

    way: Way
    number: int
    request: bytes
    waiting: list[Connection]
    connection: Connection
    session: Session | None
    reply: Any = None

    def __repr__(self) -> str:
        return f"Trip({self.number})"  # a credential is in it, and arguments

    def back(self) -> None:
        """It does not leave after all."""
        self.way.gate.under_way -= 1
        self.waiting.append(self.connection)

    def depart(self) -> Reply:
        self.reply = reply = self.connection.send(self.request, self.way.terms)
        return reply

    def result(self) -> bytes | None:
        """What came, if it is as nearly all are; None if it is not all there yet; empty for anything else."""
        reply, read = self.reply, self.way.read
        if reply.content_type == JSON and reply.status == 200 and reply.fault is None:
            return read(reply.body(), self.number)
        message = message_in(reply) if reply.stream else b""
        return read(message, self.number) if message else message

    def end(self) -> None:
        """It is over, and well."""
        gate, reply = self.way.gate, self.reply
        if reply.stream:
            reply.drain()
        reply.close()
        gate.under_way -= 1
        gate.breaker.succeeded()

    def settled(self) -> Coroutine[None, None, Reply]:
        """Its reply, once that has come."""
        way = self.way
        return way.egress.settled(self.reply, way.route, self.request, way.terms, repeatable=False)


async def passed(
    gate: Gate, ask: Ask, act: Callable[..., Awaitable[Answer]], *details: object, entered: bool = False
) -> Answer:
    """Through the gate of its server: counted, and told to the breaker."""
    if not entered:
        gate.enter(ask)
    try:
        answer = await act(*details)
    except UpstreamError as error:
        gate.failed(error)
        raise
    finally:
        gate.leave(ask)
    gate.breaker.succeeded()
    return answer
