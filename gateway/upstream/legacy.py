"""A server of 2025-11-25 or before: asked within a session, and free to ask back while it works."""

from __future__ import annotations

import asyncio
import logging
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gateway.egress.reply import Terms
from gateway.running import as_task
from gateway.upstream import Answer, AskRefused, UpstreamBroken, UpstreamError, UpstreamSlow
from gateway.upstream.conversation import StreamEnded, answer_of, pass_on
from gateway.upstream.convert import modern_answer
from gateway.upstream.envelope import legacy_body, notification, plain_request, reply_to
from gateway.upstream.handshake import Deaf
from gateway.upstream.messages import failure, next_id, parse, refusal
from gateway.upstream.modern import NOT_REPEATABLE
from gateway.upstream.parking import STATE, Parked, askable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream import Ask, Downstream
    from gateway.upstream.messages import Message
    from gateway.upstream.parking import Parking
    from gateway.upstream.sessions import Session, Sessions
    from registry.catalog import Credential

log = logging.getLogger("ostiary")

SHORT = Terms(10.0, 10.0, 256 * 1024)
ASKING = frozenset({"tools/call", "prompts/get", "resources/read"})  # what may be answered with a question (SEP-2322)
RELAYED = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
QUESTIONS_MOST = 100  # that one ask may lead to
NO_SUCH_METHOD = b'{"code":-32601,"message":"not available here"}'
SHORTEST_WAIT = 1.0  # seconds before the rest of a stream is asked for, unless the server names a time
LONGEST_WAIT = 10.0
_LAST_ID = re.compile(rb"[!-~]{1,1024}")
UNKNOWN_SESSION = -32000  # with HTTP 400: how several servers say that they do not know a session


class SessionGone(Exception):
    """The server has ended the session; it has not looked at the request."""


class Legacy:
    """Asks in sessions. `background` keeps what must still be said when an ask is over."""

    def __init__(self, egress: Egress, sessions: Sessions, parking: Parking) -> None:
        self._egress = egress
        self._sessions = sessions
        self._parking = parking
        self._background: set[asyncio.Task[None]] = set()

    async def send(
        self, route: Route, ask: Ask, down: Downstream, credential: Credential | None, terms: Terms
    ) -> Answer:
        """The answer; for a modern caller also a question, at which the call is parked."""
        if ask.legacy_session:
            return await self._converse(route, ask, down, credential, terms, ask.capabilities)
        if STATE in ask.params:
            return await self._parking.go_on(ask, down)
        offered = askable(ask.capabilities) if ask.capabilities != b"{}" else b""
        if not offered or ask.method not in ASKING:
            return await self._converse(route, ask, down, credential, terms, b"{}")
        return await self._parking.begin(
            ask, offered, down, lambda parked: self._converse(route, ask, parked, credential, terms, offered)
        )

    async def _converse(
        self,
        route: Route,
        ask: Ask,
        down: Downstream,
        credential: Credential | None,
        terms: Terms,
        capabilities: bytes,
    ) -> Answer:
        """Ask within the caller's session; one that has ended is begun again, once."""
        key = self._sessions.key(ask.principal, route, credential, capabilities)
        session = await self._sessions.enter(key, route, credential, capabilities)
        try:
            return await self._ask(session, ask, down, terms)
        except SessionGone:
            session = await self._sessions.renew(session, capabilities)
        try:
            return await self._ask(session, ask, down, terms)
        except SessionGone as gone:
            raise UpstreamBroken("the server ends each session at once") from gone

    async def request(self, session: Session, method: str, params: bytes) -> Message:
        """A short request of our own."""
        number = next_id()
        reply = await self._post(session, plain_request(method, number, params), SHORT, repeatable=True)
        try:
            _check_status(reply, session)
            return await answer_of(reply, number, Deaf())
        finally:
            reply.close()

    async def tell(self, session: Session, body: bytes) -> None:
        """A notification or an answer of ours: accepted with 202, whatever that server makes of it."""
        reply = await self._post(session, body, SHORT, repeatable=False)
        reply.close()
        if not 200 <= reply.status < 300:
            raise refusal(reply)

    async def close(self) -> None:
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _ask(self, session: Session, ask: Ask, down: Downstream, terms: Terms) -> Answer:
        if ask.log_level and ask.log_level != session.log_level:
            await self.request(session, "logging/setLevel", b'{"level":%s}' % msgspec.json.encode(ask.log_level))
            session.log_level = ask.log_level
        number = next_id()
        try:
            return await self._ask_as(number, session, ask, down, terms)
        except (asyncio.CancelledError, UpstreamSlow):
            self._cancel(session, number)  # closing the connection tells a legacy server nothing
            raise

    async def _ask_as(self, number: int, session: Session, ask: Ask, down: Downstream, terms: Terms) -> Answer:
        repeatable = ask.method not in NOT_REPEATABLE
        reply = await self._post(session, legacy_body(ask, number), terms, repeatable=repeatable)
        questions = Questions(self, session, ask, number, down, reply)
        try:
            _check_status(reply, session)
            return modern_answer(await answer_of(reply, number, questions), ask)
        except StreamEnded as ended:
            return modern_answer(await self._resume(ended, session, number, questions, terms), ask)
        finally:
            questions.close()
            reply.close()

    async def _resume(
        self, ended: StreamEnded, session: Session, number: int, questions: Questions, terms: Terms
    ) -> Message:
        """Ask for the rest of a stream that the server left, as it may (SEP-1699), while the call may last."""
        last_id = ended.last_id
        async with _within(terms.total):
            while _LAST_ID.fullmatch(last_id):
                await asyncio.sleep(min(SHORTEST_WAIT if ended.retry is None else ended.retry, LONGEST_WAIT))
                lines = session.lines + b"Last-Event-ID: %s\r\n" % last_id
                reply = await self._egress.exchange(
                    session.route, "GET", lines, b"", terms, credential=session.credential, repeatable=True
                )
                questions.listen_on(reply)
                try:
                    _check_status(reply, session)
                    return await answer_of(reply, number, questions)
                except StreamEnded as again:
                    last_id = again.last_id or last_id
                finally:
                    reply.close()
        raise ended

    async def _post(self, session: Session, body: bytes, terms: Terms, *, repeatable: bool) -> Reply:
        return await self._egress.exchange(
            session.route, "POST", session.lines, body, terms, credential=session.credential, repeatable=repeatable
        )

    def _cancel(self, session: Session, number: int) -> None:
        body = notification("notifications/cancelled", b'{"requestId":%d,"reason":"no longer wanted"}' % number)
        task = asyncio.create_task(self._try_to_tell(session, body))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _try_to_tell(self, session: Session, body: bytes) -> None:
        try:
            await self.tell(session, body)
        except UpstreamError:
            return  # it will find out by itself


class Questions:
    """What a server says and asks while it works on one ask; each question is put to the caller beside the stream."""

    def __init__(self, legacy: Legacy, session: Session, ask: Ask, number: int, down: Downstream, reply: Reply) -> None:
        self._legacy = legacy
        self._session = session
        self._ask = ask
        self._number = number
        self._down = down
        self._reply = reply
        self._open: set[asyncio.Task[None]] = set()
        self._count = 0

    async def heard(self, message: Message) -> None:
        if message.id is UNSET:
            await pass_on(message, self._ask, self._number, self._down)
            return
        self._count += 1
        if self._count > QUESTIONS_MOST:
            raise UpstreamBroken("the server asks too many questions")
        task = asyncio.create_task(self._answer(message))
        self._open.add(task)
        self._reply.patient = True  # it waits for us now
        task.add_done_callback(self._answered)

    def listen_on(self, reply: Reply) -> None:
        """The stream goes on in another reply."""
        self._reply = reply

    def close(self) -> None:
        for task in self._open:
            task.cancel()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._reply.patient = bool(self._open)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:  # a fault of ours: the ask ends with it instead of waiting for a silence
            log.error("a question of %s could not be put", self._session.route.server, exc_info=fault)
            self._reply.fail(UpstreamBroken("what the server asked could not be put to the caller"))

    async def _answer(self, message: Message) -> None:
        try:
            await self._legacy.tell(self._session, await self._reply_to(message))
        except UpstreamError as error:
            self._reply.fail(error)

    async def _reply_to(self, message: Message) -> bytes:
        number = bytes(message.id)  # type: ignore[arg-type]  # a request has one
        if message.method == "ping":
            return reply_to(number, result=b"{}")
        if message.method not in RELAYED or not (self._ask.legacy_session or isinstance(self._down, Parked)):
            return reply_to(number, error=NO_SUCH_METHOD)
        params = b"{}" if message.params is UNSET else bytes(message.params)
        try:
            return reply_to(number, result=await self._down.request(str(message.method), params))
        except AskRefused as refused:
            return reply_to(number, error=refused.error)


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    await as_task()
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise UpstreamSlow("the server did not answer in time; the call may have been carried out") from late


def _check_status(reply: Reply, session: Session) -> None:
    if reply.status == 200:
        return
    if session.id and reply.status in {400, 404} and _unknown_session(reply):
        raise SessionGone
    if reply.status not in {400, 404}:
        raise refusal(reply)


def _unknown_session(reply: Reply) -> bool:
    """404 is the rule (2025-11-25, session management); some servers say 400 and -32000 instead."""
    if reply.status == 404:
        return True
    try:
        message = parse(reply.body())
    except UpstreamBroken:
        return False
    return message.error is not UNSET and failure(message.error).code == UNKNOWN_SESSION
