"""A server of 2025-11-25 or before: asked within a session, and free to ask back while it works."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gateway.egress.reply import Terms
from gateway.upstream import Answer, UpstreamBroken, UpstreamError, UpstreamSlow
from gateway.upstream.conversation import StreamEnded, answer_of, within
from gateway.upstream.envelope import legacy_body, notification, plain_request
from gateway.upstream.eras import check_taken, with_doubt
from gateway.upstream.legacy.beside import Beside
from gateway.upstream.legacy.convert import modern_answer
from gateway.upstream.legacy.handshake import Deaf
from gateway.upstream.legacy.questions import NotYet, Questions
from gateway.upstream.legacy.rounds import in_rounds
from gateway.upstream.messages import CredentialRefused, NotTaken, failure, next_id, parse, refusal
from gateway.upstream.modern import NOT_REPEATABLE
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply
    from gateway.egress.routes import Route
    from gateway.upstream import Ask, Downstream, Ended
    from gateway.upstream.legacy.parking import Parking
    from gateway.upstream.legacy.sessions import Session, Sessions
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential

    Post = Callable[[], Coroutine[None, None, Reply]]  # sends the request of an ask, or has done so

SHORT = Terms(10.0, 10.0, 256 * 1024)
SHORTEST_WAIT = 1.0  # seconds before the rest of a stream is asked for, unless the server names a time
LONGEST_WAIT = 10.0
_LAST_ID = re.compile(rb"[!-~]{1,1024}")
CANCELLED_FIRST = 0.2  # seconds in which a server hears what is cancelled in a session before the session ends
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
        return await in_rounds(
            self._parking,
            ask,
            down,
            lambda one, heard, caps: self._converse(route, one, heard, credential, terms, caps),
            terms.total,
            credential,
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
        if self._sessions.known(key):
            session = await self._sessions.enter(key, route, credential, capabilities)
        else:
            async with _greeted(ask), within(terms.silence):  # who waits no longer leaves the greeting to those who do
                session = await self._sessions.enter(key, route, credential, capabilities)
        return await self._or_again(self._ask(session, ask, down, terms), session, ask, down, terms)

    async def go_on(
        self, post: Post, number: int, session: Session, ask: Ask, down: Downstream, terms: Terms
    ) -> Answer:
        """The same from where `ask` has left within `session` already, as `number`; `post` gives its reply."""
        return await self._or_again(self._asked(post, number, session, ask, down, terms), session, ask, down, terms)

    async def _or_again(
        self, asked: Coroutine[None, None, Answer], session: Session, ask: Ask, down: Downstream, terms: Terms
    ) -> Answer:
        try:
            return await asked
        except SessionGone:
            async with _greeted(ask), within(terms.silence):
                session = await self._sessions.renew(session, session.key[-1])
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

    def forsake(self, ended: Ended) -> None:
        """Ends the sessions of accounts that have ended; that, and what is cancelled, is the last use of them."""
        for session in self._sessions.forsake(ended):
            self._keep(self._end(session))

    async def close(self) -> None:
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _ask(self, session: Session, ask: Ask, down: Downstream, terms: Terms) -> Answer:
        if ask.log_level and ask.log_level != session.log_level:
            await self.request(session, "logging/setLevel", b'{"level":%s}' % msgspec.json.encode(ask.log_level))
            session.log_level = ask.log_level
        number = next_id()
        repeatable = ask.method not in NOT_REPEATABLE
        post = partial(self._post, session, legacy_body(ask, number), terms, repeatable=repeatable)
        return await self._asked(post, number, session, ask, down, terms)

    async def _asked(
        self, post: Post, number: int, session: Session, ask: Ask, down: Downstream, terms: Terms
    ) -> Answer:
        try:
            return await self._ask_as(post, number, session, ask, down, terms)
        except (asyncio.CancelledError, UpstreamSlow):
            self._cancel(session, number)  # closing the connection tells a legacy server nothing
            raise

    async def _ask_as(
        self, post: Post, number: int, session: Session, ask: Ask, down: Downstream, terms: Terms
    ) -> Answer:
        questions = Questions(partial(self.tell, session), session.route.server, ask, number, down, NotYet())
        beside = await self._beside(session, questions)
        try:
            return await self._answered(post, number, session, ask, questions, terms)
        finally:
            questions.close()
            if beside is not None:
                beside.leave(questions)

    async def _answered(
        self, post: Post, number: int, session: Session, ask: Ask, questions: Questions, terms: Terms
    ) -> Answer:
        began = asyncio.get_running_loop().time()
        reply = await post()
        questions.listen_on(reply)
        try:
            _check_known(reply, session)
            check_taken(reply, number, ask, Era.LEGACY)
            _check_status(reply, session)
            message = await answer_of(reply, number, questions)
            return with_doubt(reply, message, ask, Era.LEGACY, modern_answer(message, ask))
        except StreamEnded as ended:
            rest = terms.total - (asyncio.get_running_loop().time() - began)
            return modern_answer(await self._resume(ended, session, number, questions, terms, rest), ask)
        finally:
            reply.close()

    async def _beside(self, session: Session, questions: Questions) -> Beside | None:
        """Where the server may ask beside the call too; none in a session that declares nothing to ask."""
        if session.key[-1] == b"{}" or not questions.askable:
            return None
        if session.beside is None:
            session.beside = Beside(self._egress, self.tell)
        try:
            await session.beside.enter(session, questions)
        except asyncio.CancelledError:
            session.beside.leave(questions)
            raise
        return session.beside

    async def _resume(
        self, ended: StreamEnded, session: Session, number: int, questions: Questions, terms: Terms, left: float
    ) -> Message:
        """Ask for the rest of a stream that the server left, as it may (SEP-1699), while the call may last."""
        last_id = ended.last_id
        async with within(left):
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
        self._keep(self._try_to_tell(session, body))

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _end(self, session: Session) -> None:
        await asyncio.sleep(CANCELLED_FIRST)
        await self._sessions.finish(session)

    async def _try_to_tell(self, session: Session, body: bytes) -> None:
        try:
            await self.tell(session, body)
        except UpstreamError:
            return  # it will find out by itself


@asynccontextmanager
async def _greeted(ask: Ask) -> AsyncIterator[None]:
    """A server with which no session comes about has not heard of the call."""
    try:
        yield
    except CredentialRefused:
        raise
    except UpstreamBroken as broken:
        raise NotTaken(broken, ask.method) from broken


def _check_status(reply: Reply, session: Session) -> None:
    _check_known(reply, session)
    if reply.status not in {200, 400, 404}:
        raise refusal(reply)


def _check_known(reply: Reply, session: Session) -> None:
    if session.id and reply.status in {400, 404} and _unknown_session(reply):
        raise SessionGone


def _unknown_session(reply: Reply) -> bool:
    """404 is the rule (2025-11-25, session management); some servers say 400 and -32000 instead."""
    if reply.status == 404:
        return True
    try:
        message = parse(reply.body())
    except UpstreamBroken:
        return False
    return message.error is not UNSET and failure(message.error).code == UNKNOWN_SESSION
