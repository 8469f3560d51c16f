"""The same as `gateway.upstream.ways` for a server of before: calls that leave within a session which is open already.

Where nothing can be asked in it, a session has no more to do with a call than to be named in its head. Whatever else
may come of one (the server knows it no more, asks, says things before its answer; the call is cancelled) is for the
engine, from there on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from gateway.upstream.envelope import legacy_frame
from gateway.upstream.legacy.parked import askable
from gateway.upstream.legacy.sessions import Sessions
from gateway.upstream.legacy.tasks import begins_one
from gateway.upstream.plain import from_legacy_to_legacy, of_legacy
from gateway.upstream.tasks import undeclaring
from gateway.upstream.ways import Trip, Way, passed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Terms
    from gateway.egress.routes import Route
    from gateway.upstream import Answer, Ask, Downstream
    from gateway.upstream.legacy.engine import Legacy
    from gateway.upstream.limits import Gate
    from registry.catalogue import Credential

NOTHING = b"{}"  # as capabilities


def is_straight(ask: Ask) -> bool:
    """Whether calls like this one are one request and its answer: nobody is asked, and none becomes a task."""
    if begins_one(ask):
        return False
    if ask.legacy_session:
        return undeclaring(ask.capabilities) == NOTHING
    return ask.capabilities == NOTHING or not askable(ask.capabilities)


class LegacyWay(Way):
    """A `Way` within the sessions of one principal."""

    __slots__ = ("_account", "_engine", "_key", "_sessions")

    def __init__(
        self, egress: Egress, route: Route, ask: Ask, gate: Gate, terms: Terms, sessions: Sessions, engine: Legacy
    ) -> None:
        super().__init__(egress, route, ask, gate, terms)
        self._sessions = sessions
        self._engine = engine
        self._account: Credential | None = None
        self._key = Sessions.key(ask.principal, route, None, NOTHING)

    def _prepare(self) -> None:
        self._lines = b""  # those of the session
        self._front, self._back = legacy_frame(self.ask)
        self.bare = bool(self.ask.legacy_session)
        self.read = from_legacy_to_legacy if self.bare else of_legacy

    def trip(self, arguments: bytes, credential: Credential | None) -> Trip | None:
        """None too where the session has to be opened first, or made known."""
        if credential is not self._account:
            self._account, self._key = credential, Sessions.key(self.ask.principal, self.route, credential, NOTHING)
        self._session = session = self._sessions.at_hand(self._key, credential)
        if session is None:
            return None
        self._lines = session.lines
        return Way.trip(self, arguments, credential)

    def along(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        return passed(self.gate, self.ask, self._asked, arguments, credential, down)

    def _asked(
        self, arguments: bytes, credential: Credential | None, down: Callable[[], Downstream]
    ) -> Coroutine[None, None, Answer]:
        return self._engine.send(self.route, self._whole(arguments), down(), credential, self.terms)

    def rest(self, trip: Trip, arguments: bytes, down: Callable[[], Downstream]) -> Coroutine[None, None, Answer]:
        details = (trip.settled, trip.number, trip.session, self._whole(arguments), down(), self.terms)
        return passed(self.gate, self.ask, self._engine.go_on, *details, entered=True)

    def _whole(self, arguments: bytes) -> Ask:
        """The ask with what is each call's own."""
        return replace(self.ask, params={**self.ask.params, "arguments": arguments})
