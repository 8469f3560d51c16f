"""Calls of legacy clients that go by a plan: what their sessions add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.portal.legacy import down
from gateway.portal.legacy.telling import called, tell
from gateway.portal.planned import Planned

if TYPE_CHECKING:
    from gateway.portal.calls.plans import Known
    from gateway.portal.calls.recording import Recording
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.clients import Legacy
    from gateway.portal.planned import End
    from gateway.portal.reply import Pulse


class InSession(Planned):
    """The `Home` of such calls. Who hangs up has cancelled nothing; who says so has, by way of whatever process."""

    def __init__(self, pulse: Pulse, end: End, recording: Recording, legacy: Legacy) -> None:
        super().__init__(pulse, end, recording)
        self._legacy = legacy

    def begin(self, known: Known) -> bool:
        """Not if the session has ended, or may have, or says what the plan does not."""
        session = known.plan.session
        assert session is not None
        if not self._legacy.sessions.calm(session):
            return False
        self._legacy.under_way.start(session, known.ident, known)
        self._send(known)
        return True

    def lay(self, exchange: Exchange) -> None:
        self._legacy.trails.lay(exchange)

    def finished(self, known: Known, result: bytes) -> None:
        super().finished(known, result if known.plan.way.bare else down.complete(result))

    async def _answer(self, known: Known) -> None:
        exchange, run = known.exchange, known.request.run
        answered: Any = called(exchange, self._rest_of(known))
        await tell(exchange, answered, self._legacy.under_way, run)  # type: ignore[arg-type] # that runs this

    def _leave(self, known: Known) -> None:
        super()._leave(known)
        session = known.plan.session
        assert session is not None
        self._legacy.under_way.stop(session, known.ident)
