"""Servers of HTTP+SSE (2024-11-05): a GET stream whose first event says where to POST; all answers come on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from gateway.egress.frames import Frames, FrameTooLarge
from gateway.egress.reply import Terms
from gateway.egress.routes import route_to
from gateway.upstream import UpstreamBroken, UpstreamError, UpstreamSlow
from gateway.upstream.channels.places import Place, person
from gateway.upstream.legacy.sessions import IDLE_LIFE, SESSIONS_MOST, Sessions
from gateway.upstream.messages import refusal
from gateway.upstream.troubles import Trouble
from registry.addresses import parse
from registry.errors import AddressRefused

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream.channels import Hearer
    from registry.catalogue import Credential, Upstream

STREAM: Final = Terms(3600.0, 86400.0, 0)  # a quiet stream is a good one; a dead peer is found out by TCP keep-alive
ENDPOINT_WITHIN: Final = 10.0  # seconds
MOST: Final = 4 * SESSIONS_MOST
LINES: Final = b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
CLOSED: Final = "the server closed its stream; the call may have been carried out"
GONE: Final = frozenset({404, 410})  # it knows nothing of our stream
TAKEN: Final = frozenset({200, 202, 204})


class SsePlaces:
    """`Places`: one channel for each principal, account and set of capabilities, as sessions are."""

    def __init__(self, egress: Egress, event_most: int) -> None:
        self._egress = egress
        self._event_most = event_most

    def place(
        self, server: Upstream, principal: Principal | None, credential: Credential | None, capabilities: bytes
    ) -> Place:
        route = route_to(server)
        return Place(
            key=Sessions.key(principal, route, credential, capabilities),
            whose=person(principal),
            server=server.slug,
            make=lambda: Stream(self._egress, server, route, self._event_most),
            credential=credential,
            capabilities=capabilities,
            idle=IDLE_LIFE,
            most=MOST,
            legacy=True,
        )


class Stream:
    """A `Wire`."""

    def __init__(self, egress: Egress, server: Upstream, route: Route, event_most: int) -> None:
        self._egress = egress
        self._server = server
        self._route = route
        self._event_most = event_most
        self._credential: Credential | None = None
        self._post: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None
        self._hearer: Hearer | None = None

    def use(self, credential: Credential | None) -> None:
        self._credential = credential

    async def open(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._reading = asyncio.create_task(self._read(hearer))
        try:
            async with asyncio.timeout(ENDPOINT_WITHIN):
                await asyncio.shield(self._post)
        except TimeoutError as late:
            await self.close()
            raise UpstreamSlow("the server opens a stream, and does not say where to write to it") from late

    async def send(self, body: bytes, terms: Terms) -> None:
        """Accepted, which says nothing yet of what becomes of it."""
        reply = await self._egress.exchange(
            self._route, "POST", LINES, body, terms, credential=self._credential, target=self._post.result()
        )
        reply.close()
        if reply.status in GONE and self._hearer is not None:  # it may have been started anew behind a proxy
            self._hearer.ended(UpstreamBroken(CLOSED, Trouble.LOST))
        if reply.status not in TAKEN:
            raise refusal(reply)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _read(self, hearer: Hearer) -> None:
        fault: UpstreamError = UpstreamBroken(CLOSED, Trouble.LOST)
        try:
            reply = await self._egress.exchange(
                self._route, "GET", b"", b"", STREAM, credential=self._credential, repeatable=True
            )
            try:
                await self._hear(reply, hearer)
            finally:
                reply.close()
        except FrameTooLarge:
            fault = UpstreamBroken("an event of the server is too large", Trouble.TOO_LARGE)
        except UpstreamError as error:
            fault = error
        if not self._post.done():
            self._post.set_exception(fault)
            self._post.exception()  # looked at, because whoever waited may have given up
        hearer.ended(fault)

    async def _hear(self, reply: Reply, hearer: Hearer) -> None:
        if not reply.stream:
            raise refusal(reply) if reply.status != 200 else UpstreamBroken("the server's answer is no event stream")
        frames = Frames(self._event_most)
        while piece := await reply.more():
            for frame in frames.feed(piece):
                if frame.kind == b"endpoint":
                    self._lead(frame.data)
                elif frame.kind in {b"", b"message"} and frame.data:
                    hearer.heard(frame.data)

    def _lead(self, data: bytes) -> None:
        if self._post.done():
            raise UpstreamBroken("the server says twice where to write to it")
        self._post.set_result(target_at(self._server, self._route, data))


def target_at(server: Upstream, route: Route, data: bytes) -> bytes:
    """The path and query where a server says that it is written to: at its own origin, or nowhere (T-49)."""
    try:
        url = urljoin(server.url, data.decode("ascii"))
        address = parse(url, [route.address.origin] if route.address.excepted else [])
    except (AddressRefused, ValueError) as error:
        raise UpstreamBroken("the server says that it is written to at something that is no address") from error
    if address.origin != route.address.origin:
        raise UpstreamBroken("the server wants to be written to at another origin, which is not done")
    return address.target.encode("ascii")
