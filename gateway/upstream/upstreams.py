"""What the portal and whoever looks after servers may ask of all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping

    from authz.principals import Principal
    from gateway.upstream import Answer, Ask, Downstream, Ended, FeedEvent, Probed
    from gateway.upstream.troubles import Trouble
    from gateway.upstream.ways import Way
    from registry.catalogue import Credential, Upstream


@dataclass(frozen=True, slots=True)
class Strain:
    """How a server stands in this process: calls under way, and why and for how long it is left alone, if it is."""

    under_way: int
    trouble: Trouble | None
    pause: float


class Upstreams(Protocol):
    """All approved servers, as one process reaches them."""

    def send(
        self, server: Upstream, ask: Ask, down: Downstream, credential: Credential | None
    ) -> Coroutine[None, None, Answer]:
        """Ask and wait for the answer. Cancelling this task cancels the ask at the server, as its era has it.

        Raises UpstreamError. Bytes of the answer are counted against the budget in flight until it returns.
        """

    def way(self, server: Upstream, ask: Ask) -> Way | None:
        """For a call of a tool: what is the same with each such call but for its arguments. None where that is not so.

        Good for as long as `server` is the one that is registered.
        """

    async def probe(self, server: Upstream, credential: Credential | None) -> Probed:
        """Which era the server speaks and what it says of itself (protocol revision 2026-07-28, versioning)."""

    async def is_other(self, server: Upstream, credential: Credential | None) -> bool:
        """Whether it speaks another era than it is registered with, for whose request it was not taken."""

    def events(
        self, server: Upstream, principal: Principal | None, uris: frozenset[str], credential: Credential | None
    ) -> AsyncIterator[FeedEvent]:
        """What changes at a server, for as long as somebody iterates; one upstream feed serves all who do."""

    def strains(self) -> Mapping[str, Strain]:
        """How servers stand in this process, by slug, as far as they were asked."""

    def heed(self, doubted: Callable[[str], object]) -> None:
        """`doubted` hears of each server that answered a call as none of its kind does: it may speak another era now
        (protocol revision 2026-07-28, versioning).
        """

    def leave(self, server: str) -> None:
        """It is not approved any more: end what runs for it here."""

    def forsake(self, ended: Ended, telling: Collection[asyncio.Task[None]] = ()) -> None:
        """Accounts have ended: give up what waits with them, and end what is kept open with them; the latter in a
        moment, where `telling` still tells their servers something with what is open.
        """

    async def close(self) -> None:
        """End sessions, feeds and connections."""
