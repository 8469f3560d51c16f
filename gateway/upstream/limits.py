"""The way to one server in one process: how long a call may take, how many may be under way, whether it is left alone.

What a call may take is settled once per registration and tool, so that a call looks it up and works nothing out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.egress.pool import PER_SERVER
from gateway.upstream import UpstreamBusy
from gateway.upstream.messages import CredentialRefused
from gateway.upstream.sharing import Shares
from gateway.upstream.troubles import MEANINGS, Trouble
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.egress.reply import Terms
    from gateway.upstream import Ask, UpstreamError
    from gateway.upstream.breaker import Breaker
    from registry.catalogue import Entry, Upstream
    from registry.limits import Limits, ToolLimits

STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"
CROWDED: Final = PER_SERVER // 2  # calls; where nothing else is said, the connections beyond are shared fairly
IT_IS_THERE: Final = frozenset({Trouble.REFUSED, Trouble.TOO_LARGE})  # it answered, so it need not be left alone
DOUBTFUL: Final = frozenset({Trouble.PROTOCOL, Trouble.REFUSED})  # it may be another server than it was


@dataclass(frozen=True, slots=True)
class Plan:
    """What one call may take, and whether it may be sent again."""

    terms: Terms
    repeat: bool = False


class Gate:
    """`elsewhere` tells whose calls are under way that nobody waits for at the moment: those parked at a question."""

    __slots__ = (
        "_elsewhere", "_free", "_plan", "_settings", "_shares", "_tools", "breaker", "doubted", "under_way", "upstream",
    )  # fmt: skip

    def __init__(
        self, upstream: Upstream, settings: Terms, breaker: Breaker, elsewhere: Callable[[str], Sequence[str]]
    ) -> None:
        self._settings = settings
        self._elsewhere = elsewhere
        self._shares = Shares()
        self.breaker = breaker
        self.doubted: Callable[[], object] = lambda: None
        self.under_way = 0
        self.renew(upstream)

    def renew(self, upstream: Upstream) -> None:
        """The server as it is registered now."""
        self.upstream = upstream
        self._free = CROWDED if upstream.limits.at_once is None else 0
        self._plan = Plan(_terms(upstream.limits, self._settings))
        self._tools = {
            name: Plan(_terms(limits, self._plan.terms), limits.repeat)
            for name, limits in upstream.limits.tools.items()
        }

    def plan(self, ask: Ask) -> Plan:
        return self._tools.get(ask.name, self._plan) if self._tools and ask.method == "tools/call" else self._plan

    def enter(self, ask: Ask) -> None:
        """Counts a call in, whose `leave` follows. Raises UpstreamBusy: nobody waits here, for waiting costs memory.

        What the gateway itself asks is neither counted nor held up.
        """
        most = self.upstream.limits.at_once
        if most is None and self.under_way >= CROWDED:
            most = PER_SERVER - CROWDED
        if most is not None and ask.principal is not None and not self._goes_on(ask):
            self._check_place(ask.principal.subject, most)
        self.breaker.admit()  # last: who is let through to look whether a server is back must get there
        if ask.principal is not None:
            self.under_way += 1
            if most is not None:
                self._shares.enter(ask.principal.subject)

    def is_open(self) -> bool:
        """Whether anybody may enter: nothing limits how many, and the server is not left alone."""
        return self.under_way < self._free and self.breaker.trouble is None

    def leave(self, ask: Ask) -> None:
        if ask.principal is not None:
            self.under_way -= 1
            if self._shares:
                self._shares.leave(ask.principal.subject)

    def failed(self, error: UpstreamError) -> None:
        """Only what says something about the server counts against it."""
        if error.trouble in DOUBTFUL:
            self.doubted()
        if error.trouble in IT_IS_THERE or (isinstance(error, CredentialRefused) and error.status):
            self.breaker.succeeded()
        elif not MEANINGS[error.trouble].ours:
            self.breaker.failed(error.trouble)

    def _check_place(self, subject: str, most: int) -> None:
        if not self._shares.may_enter(subject, most, self._elsewhere(self.upstream.slug)):
            full = (
                "as many calls to this server are under way as may be, or as are your share of them while others call"
            )
            raise UpstreamBusy(f"{full}; nothing was sent, try again shortly", trouble=Trouble.FULL)

    def _goes_on(self, ask: Ask) -> bool:
        """Whether it is the rest of a call that is counted already, because it was parked at a question."""
        return self.upstream.era is Era.LEGACY and STATE in ask.params and not ask.legacy_session


def may_repeat(ask: Ask, error: UpstreamError) -> bool:
    """Of a tool whose limits allow it: whether doing it twice is the same as doing it once, by its own approved word
    (MCP, Tools, "annotations"), and the first answer was lost. A further round of a call is never repeated (SEP-2322).
    """
    if error.trouble is not Trouble.LOST or STATE in ask.params or RESPONSES in ask.params:
        return False
    return ask.entry is not None and _is_idempotent(ask.entry)


class _Annotations(msgspec.Struct):
    idempotentHint: bool = False  # noqa: N815 - the name on the wire
    readOnlyHint: bool = False  # noqa: N815


class _Annotated(msgspec.Struct):
    annotations: _Annotations = msgspec.field(default_factory=_Annotations)


def _is_idempotent(entry: Entry) -> bool:
    try:
        said = msgspec.json.decode(entry.raw, type=_Annotated).annotations
    except msgspec.DecodeError:
        return False
    return said.idempotentHint or said.readOnlyHint


def _terms(limits: Limits | ToolLimits, over: Terms) -> Terms:
    """`over` with what differs: no silence is longer than the whole may last."""
    total = limits.total or over.total
    return replace(over, silence=min(limits.deadline or over.silence, total), total=total)
