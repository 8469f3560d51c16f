"""Calls that go by a plan, between the request and its answer; see `gateway.portal.calls.plans`."""

from __future__ import annotations

import asyncio
import time
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
    from gateway.portal.exchange import Exchange
    from gateway.portal.reply import Pulse
    from gateway.world import World


class Planned:
    """The `Home` of such calls. `end` answers a request that ended in an error."""

    def __init__(
        self, world: World, pulse: Pulse, end: Callable[[Exchange, BaseException], Coroutine[Any, Any, None]]
    ) -> None:
        self._world = world
        self._pulse = pulse
        self._end = end

    def again(self, request: Request, body: bytes) -> bool:
        """All of a request has come, with a head that is known: whether it is a call like one before, and under way."""
        found = None if request.head is None else request.head.found
        known = None if found is None else planned(self._world, request, found, body, time.time())
        if known is None:
            return False
        request.ends_with_client = True
        self._begin(known)
        try:
            if not known.begin(self):
                request.serve(self.known(known))
        except Exception as error:  # noqa: BLE001 - the edge of the data plane
            request.serve(self.failed(known, error))
        return True

    def finished(self, known: Known, result: bytes) -> None:
        """Nothing unusual is left to do for it but to answer."""
        self._leave(known)
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (known.ident, result)
        if known.started:
            known.request.serve(known.exchange.reply.finish(200, body))
        else:
            known.request.whole(200, JSON, body)

    async def failed(self, known: Known, error: Exception) -> None:
        """Something of ours is in its way."""
        self._leave(known)
        await self._end(known.exchange, error)

    async def known(self, known: Known) -> None:
        """All that is left of one that has to wait, or has an unusual end."""
        try:
            status, said = envelope(known.ident, await (sent(known) if known.left else send(known)))
            if known.started:
                await known.exchange.reply.finish(status, said)
            else:
                known.request.whole(status, JSON, said)
        except (asyncio.CancelledError, Exception) as error:  # noqa: BLE001 - the edge of the data plane
            await self._end(known.exchange, error)
        finally:
            self._leave(known)

    def _begin(self, known: Known) -> None:
        tasks: Any = known.request.line.tasks
        tasks.add(known)
        known.request.run = known
        self._pulse.add(known)

    def _leave(self, known: Known) -> None:
        tasks: Any = known.request.line.tasks
        tasks.discard(known)
        self._pulse.discard(known)
        if known.request.run is known:
            known.request.run = OVER
