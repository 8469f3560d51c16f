"""Calls of a tool at a modern server that differ in nothing but their arguments: what is the same is made once.

Such a call leaves at once where a connection waits for it, and its answer is read where it comes, if it is as nearly
all are. For everything else there is the long way (`gateway.upstream.modern`), which it can take from any point on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.upstream import UpstreamError
from gateway.upstream.envelope import framed, modern_frame, modern_lines
from gateway.upstream.messages import next_id
from gateway.upstream.modern import answered, plain_result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gateway.egress.connection import Connection
    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply, Terms
    from gateway.egress.routes import Route
    from gateway.upstream import Answer, Ask, Downstream
    from gateway.upstream.limits import Gate
    from registry.catalogue import Credential


class Way:
    """All that leaves with each such call, but for its id, the arguments and the credential."""

    __slots__ = ("_back", "_front", "_lines", "ask", "egress", "gate", "route", "terms")

    def __init__(self, egress: Egress, route: Route, ask: Ask, gate: Gate, terms: Terms) -> None:
        self.egress, self.route, self.ask, self.gate, self.terms = egress, route, ask, gate, terms
        self._lines = modern_lines(ask)
        self._front, self._back = modern_frame(ask)

    def trip(self, arguments: bytes, credential: Credential | None) -> Trip | None:
        """A call that can leave now, and has not yet; None where there is anything to wait for or to say against it."""
        if not self.gate.is_open() or (credential is not None and credential.heard is not None):
            return None
        waiting = self.egress.waiting(self.route)
        number = next_id()
        body = framed(number, self._front, arguments, self._back)
        if waiting is None or not self.egress.budget.admits(len(body)):
            return None
        try:
            request = self.egress.written(self.route, self._lines, body, credential)
        except UpstreamError:
            return None
        return Trip(self, number, request, waiting)

    def along(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        """The same for a call that may have to wait."""
        return passed(self.gate, self.ask, self._sent, arguments, credential, down)

    def _sent(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        number = next_id()
        body = framed(number, self._front, arguments, self._back)
        sent = self.egress.exchange(self.route, "POST", self._lines, body, self.terms, credential=credential)
        return answered(sent, number, self.ask, down)


class Trip(msgspec.Struct):
    """One such call. After `depart`, when its reply has come, either `result` and `end` or `rest`."""

    way: Way
    number: int
    request: bytes
    waiting: list[Connection]
    reply: Any = None

    def depart(self) -> Reply:
        way = self.way
        way.gate.under_way += 1
        reply: Reply = self.waiting.pop().send(self.request, way.terms)
        self.reply = reply
        return reply

    def result(self) -> bytes:
        """What came, if it is as nearly all are; empty for anything else, which `rest` is for."""
        return b"" if self.reply.fault is not None else plain_result(self.reply, self.number)

    def end(self) -> None:
        """It is over, and well."""
        gate = self.way.gate
        self.reply.close()
        gate.under_way -= 1
        gate.breaker.succeeded()

    def rest(self, down: Callable[[], Downstream]) -> Coroutine[None, None, Answer]:
        """On from here by the long way, whatever has come or will."""
        way = self.way
        sent = way.egress.settled(self.reply, way.route, self.request, way.terms, repeatable=False)
        return passed(way.gate, way.ask, answered, sent, self.number, way.ask, down, entered=True)


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
