"""Calls that go by a plan, between the request and its answer; see `gateway.portal.calls.plans`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from gateway.edge.request import JSON
from gateway.portal.calls.plans import planned
from gateway.portal.calls.sending import send, sent
from gateway.portal.reply import envelope
from gateway.running import OVER

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.edge.request import Request
    from gateway.portal.calls.plans import Known
    from gateway.portal.calls.recording import Recording
    from gateway.portal.exchange import Exchange
    from gateway.portal.reply import Pulse
    from gateway.upstream import Answer
    from gateway.world import World

    End = Callable[[Exchange, BaseException], Coroutine[Any, Any, None]]  # answers a request that ended in an error


class Planned:
    """The `Home` of such calls of modern clients: who hangs up has cancelled."""

    def __init__(self, pulse: Pulse, end: End, recording: Recording) -> None:
        self._pulse = pulse
        self._end = end
        self.on_record = recording.then

    def begin(self, known: Known) -> bool:
        """Whether it is under way."""
        known.request.ends_with_client = True
        self._send(known)
        return True

    def lay(self, exchange: Exchange) -> None:
        """Only what is said to legacy clients can be had again."""

    def finished(self, known: Known, result: bytes) -> None:
        """Nothing unusual is left to do for it but to answer."""
        self._leave(known)
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (known.ident, result)
        if known.full is not None and known.full.reply.started:
            known.request.serve(known.full.reply.finish(200, body))
        else:
            known.request.whole(200, JSON, body)

    async def failed(self, known: Known, error: Exception) -> None:
        """Something of ours is in its way."""
        self._leave(known)
        await self._end(known.exchange, error)

    async def known(self, known: Known) -> None:
        """All that is left of one that has to wait, or has an unusual end."""
        try:
            await self._answer(known)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the edge of the data plane
            await self._end(known.exchange, error)
        finally:
            self._leave(known)

    async def _answer(self, known: Known) -> None:
        status, said = envelope(known.ident, await self._rest_of(known))
        if known.full is not None and known.full.reply.started:
            await known.full.reply.finish(status, said)
        else:
            known.request.whole(status, JSON, said)

    @staticmethod
    def _rest_of(known: Known) -> Coroutine[Any, Any, Answer]:
        return send(known) if known.trip is None else sent(known)

    def _send(self, known: Known) -> None:
        """Sends it now, if there is nothing to wait for."""
        request: Any = known.request
        known.home, request.run = self, known
        request.line.tasks.add(known)
        if self._pulse.rests:
            self._pulse.begin()
        try:
            if not known.begin():
                request.serve(self.known(known))
        except Exception as error:  # noqa: BLE001 - the edge of the data plane
            request.serve(self.failed(known, error))

    def _leave(self, known: Known) -> None:
        request: Any = known.request
        request.line.tasks.discard(known)
        if request.run is known:
            request.run = OVER


class Again:
    """Where requests come in whose head is known."""

    def __init__(self, world: World, modern: Planned, in_session: Planned) -> None:
        self._world = world
        self._modern = modern
        self._in_session = in_session

    def again(self, request: Request, body: bytes) -> bool:
        """All of a request has come, with a head that is known: whether it is a call like one before, and under way."""
        found = None if request.head is None else request.head.found
        known = None if found is None else planned(self._world, request, found, body)
        if known is None:
            return False
        return (self._modern if known.plan.session is None else self._in_session).begin(known)
