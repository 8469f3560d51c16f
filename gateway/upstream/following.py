"""Following one server's stream of changes: `subscriptions/listen`, or the GET stream of a legacy session."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gateway.egress.frames import Frames, FrameTooLarge
from gateway.egress.reply import Terms
from gateway.upstream import Ask, UpstreamBroken
from gateway.upstream.envelope import modern_body, modern_lines, reply_to
from gateway.upstream.legacy.parked import NO_SUCH_METHOD
from gateway.upstream.messages import next_id, parse, read, refusal
from gateway.upstream.tasks import declaring
from gateway.upstream.unasked import Unasked
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream.legacy.engine import Legacy
    from gateway.upstream.legacy.sessions import Session, Sessions
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential

UPDATED = "notifications/resources/updated"
OF_TASKS = frozenset({"notifications/tasks", "notifications/tasks/status"})  # SEP-2663; 2025-11-25
TASK = "task\n"  # begins what stands for a task among the URIs that are listened to: no URI has a line feed
ANY = {
    "notifications/tools/list_changed": "tools",
    "notifications/prompts/list_changed": "prompts",
    "notifications/resources/list_changed": "resources",
}
_FILTERS = {method: f"{capability}ListChanged" for method, capability in ANY.items()}
TERMS = Terms(3600.0, 86400.0, 0)  # a quiet stream is a good one; a dead peer is found out by TCP keep-alive
FRAME_MOST = 1024 * 1024
NO_STREAM_PAUSE = 600.0  # seconds until a server without a stream is asked for one again

Offer = "Callable[[str, str], None]"


class _Updated(msgspec.Struct):
    uri: str


class _Of(msgspec.Struct):
    taskId: str  # noqa: N815 - the name on the wire


class Follower:
    """How to follow one server with one credential."""

    def __init__(
        self,
        egress: Egress,
        sessions: Sessions,
        legacy: Legacy,
        route: Route,
        credential: Credential | None,
        era: Era,
    ) -> None:
        self._egress = egress
        self._sessions = sessions
        self._legacy = legacy
        self._route = route
        self._credential = credential
        self._era = era

    async def follow(self, uris: frozenset[str], announced: frozenset[str], offer: Callable[[str, str], None]) -> None:
        """Until the stream ends or this is cancelled; raises UpstreamError."""
        if self._era is Era.MODERN:
            await self._follow_modern(uris, announced, offer)
        else:
            await self._follow_legacy(uris, offer)

    async def _follow_modern(
        self, uris: frozenset[str], announced: frozenset[str], offer: Callable[[str, str], None]
    ) -> None:
        params = subscription(uris, announced)
        if not params:
            await asyncio.sleep(NO_STREAM_PAUSE)
            return
        ask = listening(uris, params)
        lines, body = modern_lines(ask), modern_body(ask, next_id())
        reply = await self._egress.exchange(
            self._route, "POST", lines, body, TERMS, credential=self._credential, repeatable=True
        )
        await self._read(reply, None, offer)

    async def _follow_legacy(self, uris: frozenset[str], offer: Callable[[str, str], None]) -> None:
        key = self._sessions.key(None, self._route, self._credential, b"{}")
        session = await self._sessions.enter(key, self._route, self._credential, b"{}")
        session.feeding = True
        try:
            await self._watch(session, uris)
            reply = await self._egress.exchange(
                self._route, "GET", session.lines, b"", TERMS, credential=self._credential, repeatable=True
            )
            if reply.status == 404 and session.id:
                reply.close()
                await self._sessions.renew(session, b"{}")
                return
            await self._read(reply, session, offer)
        finally:
            session.feeding = False

    async def _watch(self, session: Session, uris: frozenset[str]) -> None:
        uris = resources(uris)
        for uri in sorted(uris - session.watched):
            await self._legacy.request(session, "resources/subscribe", b'{"uri":%s}' % msgspec.json.encode(uri))
            session.watched.add(uri)
        for uri in sorted(session.watched - uris):
            await self._legacy.request(session, "resources/unsubscribe", b'{"uri":%s}' % msgspec.json.encode(uri))
            session.watched.discard(uri)

    async def _read(self, reply: Reply, session: Session | None, offer: Callable[[str, str], None]) -> None:
        try:
            if not reply.stream:
                await _without_stream(reply)
                return
            frames, unasked = Frames(FRAME_MOST), Unasked()
            while piece := await reply.more():
                unasked.bear_bytes(len(piece))
                for frame in frames.feed(piece):
                    if frame.data:
                        await self._heard(parse(frame.data), session, offer)
        except FrameTooLarge as error:
            raise UpstreamBroken("an event of the server is too large") from error
        finally:
            reply.close()

    async def _heard(self, message: Message, session: Session | None, offer: Callable[[str, str], None]) -> None:
        if message.method is UNSET:
            return
        if message.id is not UNSET:
            await self._refuse(message, session)
        else:
            pass_on(message, offer)

    async def _refuse(self, message: Message, session: Session | None) -> None:
        """A question that belongs to no call is not put to anybody (SEP-2260); a ping is answered."""
        if session is None:
            raise UpstreamBroken("the server asked back, which its revision of the protocol does not have")
        number = bytes(message.id)  # type: ignore[arg-type]  # looked at before
        ping = message.method == "ping"
        answer = reply_to(number, result=b"{}") if ping else reply_to(number, error=NO_SUCH_METHOD)
        await self._legacy.tell(session, answer)


def pass_on(message: Message, offer: Callable[[str, str], None]) -> None:
    """What a notification says has changed, if it is one that somebody may listen to."""
    if message.method in ANY:
        offer(str(message.method), "")
    elif message.params is UNSET:
        return
    elif message.method == UPDATED:
        offer(UPDATED, read(message.params, _Updated).uri)
    elif message.method in OF_TASKS:
        offer(UPDATED, TASK + read(message.params, _Of).taskId)


def resources(uris: frozenset[str]) -> frozenset[str]:
    """Of what is listened to, all that is no task."""
    return frozenset(uri for uri in uris if not uri.startswith(TASK))


def listening(uris: frozenset[str], params: dict[str, bytes]) -> Ask:
    """`subscriptions/listen`; of tasks only those hear who say that they know them."""
    able = b"{}" if len(resources(uris)) == len(uris) else declaring(b"{}")
    return Ask(method="subscriptions/listen", params=params, principal=None, capabilities=able)


def subscription(uris: frozenset[str], announced: frozenset[str]) -> dict[str, bytes]:
    """The parameters of `subscriptions/listen`; none where there is nothing to listen to."""
    wanted: dict[str, object] = {_FILTERS[method]: True for method in sorted(announced)}
    named, tasks = resources(uris), sorted(uri.removeprefix(TASK) for uri in uris if uri.startswith(TASK))
    if named:
        wanted["resourceSubscriptions"] = sorted(named)
    if tasks:
        wanted["taskIds"] = tasks
    return {"notifications": msgspec.json.encode(wanted)} if wanted else {}


async def _without_stream(reply: Reply) -> None:
    """405 says that there is none (2025-11-25, listening); the catalogue is refreshed by time then."""
    if reply.status not in {200, 404, 405, 406, 501}:
        raise refusal(reply)
    reply.close()
    await asyncio.sleep(NO_STREAM_PAUSE)
