"""Clients of 2025-03-26 to 2025-11-25: the handshake, the session, and the methods that later revisions dropped.

A request without a session is answered with 400.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal import discovery, listing
from gateway.portal.calls import call
from gateway.portal.calls.asking import LEVELS
from gateway.portal.calls.targets import invalid
from gateway.portal.headers import LEGACY, check_legacy
from gateway.portal.legacy import batches, questions
from gateway.portal.legacy import stream as legacy_stream
from gateway.portal.legacy.cancelling import UnderWay
from gateway.portal.legacy.sessions import Session, Sessions
from gateway.portal.legacy.tasks import answering, beginning
from gateway.portal.legacy.tasks.announcing import CAPABILITY, has_tasks
from gateway.portal.legacy.telling import called, tell
from gateway.portal.legacy.trails import Trails
from gateway.portal.listening import subscriptions
from gateway.portal.wire import INVALID_REQUEST, refused
from gateway.problems import METHOD_NOT_FOUND, Problem, unavailable
from gateway.rendezvous import RendezvousDown
from gateway.upstream import Answer, tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.portal.exchange import Exchange
    from gateway.portal.listening.hub import Hub
    from gateway.portal.listing import Lists
    from gateway.portal.reply import Pulse
    from gateway.world import World

SESSION: Final = b"mcp-session-id"
LAST_ID: Final = b"last-event-id"
ANSWER_LIFE: Final = 60.0  # seconds that an answer may lie before its question fetches it
URI_LIMIT: Final = 200  # resources that one session may follow

_lists: Final = listing.METHODS - {"server/discover"}
_calls: Final = call.METHODS - tasks.METHODS
_encode: Final = msgspec.json.Encoder().encode


class Legacy:
    """What one process does for legacy clients."""

    def __init__(self, world: World, hub: Hub, lists: Lists, pulse: Pulse) -> None:
        self._world = world
        self._hub = hub
        self._listing = lists
        self._pulse = pulse
        self.sessions = Sessions(world)
        self.trails = Trails(world)
        self.under_way = UnderWay(world.rendezvous)
        self._methods: dict[str, Callable[[Exchange], Awaitable[bytes]]] = {
            "ping": self._ping,
            "logging/setLevel": self._set_level,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._unsubscribe,
        }

    async def post(self, exchange: Exchange) -> None:
        """One message of a legacy client."""
        message = exchange.message
        check_legacy(exchange.arrival, message)
        if message.method == "initialize":
            await self._initialize(exchange)
            return
        await self._enter(exchange)
        self.trails.lay(exchange)
        await self._handle(exchange)

    async def batch(self, exchange: Exchange, body: bytes) -> None:
        """Many messages at once, from a client of the revision that has them; each goes its own way."""
        session = await self._enter(exchange)
        if session.version != batches.VERSION:
            raise refused(INVALID_REQUEST, "Send one JSON-RPC message: batches are not part of this protocol version.")
        messages = batches.read(body)
        for message in messages:
            check_legacy(exchange.arrival, message)
        self.trails.lay(exchange)
        await batches.Batch(exchange, self._handle, self._pulse).run(messages)

    async def _enter(self, exchange: Exchange) -> Session:
        session = exchange.session = self._session(exchange)
        exchange.log_level = (await self.sessions.state(session)).level
        return session

    async def _handle(self, exchange: Exchange) -> None:
        message = exchange.message
        if message.reply is not None:
            await self._take_answer(exchange)
        elif not message.id:
            await self._notice(exchange)
        else:
            await self._answer(exchange)

    def _session(self, exchange: Exchange) -> Session:
        header = exchange.arrival.headers.get(SESSION)
        if header is None or SESSION in exchange.arrival.doubled:
            raise Problem(400, -32600, "Start with initialize and send the Mcp-Session-Id that it gave.")
        return self.sessions.open(header, exchange.principal, exchange.mount)

    async def _initialize(self, exchange: Exchange) -> None:
        """The handshake: the client's version if we speak it, else our newest (2025-11-25, "Version negotiation")."""
        message = exchange.message
        asked = message.value("protocolVersion")
        told = message.value("capabilities")
        if type(asked) is not str or type(told) is not dict or not message.id:
            raise invalid("initialize needs protocolVersion and capabilities.")
        version = asked if asked in LEGACY else LEGACY[0]
        info = message.params.get("clientInfo")
        raw = bytes(message.params["capabilities"])
        header = self.sessions.begin(exchange.principal, exchange.mount, version, raw, bytes(info) if info else b"")
        exchange.world.journal.note(
            "session.opened",
            **exchange.asker,
            portal=exchange.mount.portal,
            version=version,
            request_id=exchange.arrival.request_id,
        )
        body = b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (message.id, _greeting(exchange, version))
        await exchange.reply.json(200, body, ((SESSION, header),))

    async def _answer(self, exchange: Exchange) -> None:
        session, ident, request = exchange.session, exchange.message.id, exchange.arrival.request
        assert session is not None
        assert request is not None
        run: Any = asyncio.current_task() or request.run  # a task or a run
        self.under_way.start(session, ident, run)
        await tell(exchange, self._do(exchange), self.under_way, run)

    async def _do(self, exchange: Exchange) -> Answer:
        method = exchange.message.method
        if method in answering.METHODS or (method == "tools/call" and beginning.WISH in exchange.message.params):
            self._pulse.add(exchange.reply)
            return await (self._begin_task if method == "tools/call" else answering.answer)(exchange)
        if method in _calls:
            self._pulse.add(exchange.reply)
            return await called(exchange)
        if method in _lists:
            return Answer(result=self._listing.result(exchange))
        handle = self._methods.get(method)
        if handle is None:
            raise Problem(200, METHOD_NOT_FOUND, "Method not found")
        return Answer(result=await handle(exchange))

    async def _begin_task(self, exchange: Exchange) -> Answer:
        """The session's own stream tells of tasks from then on."""
        assert exchange.session is not None
        if not (await self.sessions.state(exchange.session)).tasks:
            await self.sessions.change(exchange.session, tasks=True)
        return await beginning.begin(exchange)

    async def _notice(self, exchange: Exchange) -> None:
        raw = exchange.message.params.get("requestId")
        if exchange.message.method == "notifications/cancelled" and raw is not None:
            assert exchange.session is not None
            await self.under_way.cancel(exchange.session, bytes(raw))
        await exchange.reply.text(202, "")

    async def _take_answer(self, exchange: Exchange) -> None:
        assert exchange.session is not None
        try:
            await questions.answer(self._world.rendezvous, exchange.session, exchange.message, ANSWER_LIFE)
        except RendezvousDown as error:
            raise unavailable("The answer cannot be delivered; send it again.") from error
        await exchange.reply.text(202, "")

    # What only legacy sessions have

    async def _ping(self, _: Exchange) -> bytes:
        return b"{}"

    async def _set_level(self, exchange: Exchange) -> bytes:
        level = exchange.message.value("level")
        if level not in LEVELS:
            raise invalid(f"params.level must be one of {', '.join(LEVELS)}.")
        assert exchange.session is not None
        await self.sessions.change(exchange.session, level=level)
        return b"{}"

    async def _subscribe(self, exchange: Exchange) -> bytes:
        uri = subscriptions.visible_uri(exchange, exchange.message.value("uri"))
        subscriptions.record(exchange, frozenset((uri,)))
        return await self._follow(exchange, lambda uris: sorted({*uris, uri}))

    async def _unsubscribe(self, exchange: Exchange) -> bytes:
        uri = exchange.message.value("uri")
        return await self._follow(exchange, lambda uris: [each for each in uris if each != uri])

    async def _follow(self, exchange: Exchange, changed: Callable[[list[str]], list[str]]) -> bytes:
        assert exchange.session is not None
        uris = changed((await self.sessions.state(exchange.session)).uris)
        if len(uris) > URI_LIMIT:
            raise invalid(f"At most {URI_LIMIT} resources can be followed in one session.")
        await self.sessions.change(exchange.session, uris=uris)
        return b"{}"

    async def get(self, exchange: Exchange) -> None:
        """The stream for what belongs to no request, or the rest of one that was lost."""
        session = await self._enter(exchange)
        if not exchange.reply.streams:
            raise Problem(406, 0, "This stream is text/event-stream: accept it.")
        last = exchange.arrival.headers.get(LAST_ID, b"")
        if last.startswith(b"c-"):
            await self.trails.resume(exchange.reply, session, last)
            return
        await legacy_stream.follow(exchange, self._hub, self._listing, lambda: self.sessions.state(session), last)

    async def delete(self, exchange: Exchange) -> None:
        session = self._session(exchange)
        await self.sessions.state(session)
        await self.sessions.change(session, gone=True)
        await exchange.reply.text(204, "")


def _greeting(exchange: Exchange, version: str) -> bytes:
    result: dict[str, Any] = {
        "protocolVersion": version,
        "capabilities": discovery.capabilities(exchange)
        | ({"tasks": CAPABILITY} if has_tasks(exchange, version) else {}),
        "serverInfo": msgspec.Raw(discovery.server_info(exchange.mount)),
    }
    said = discovery.instructions(exchange)
    return _encode({**result, "instructions": said} if said else result)
