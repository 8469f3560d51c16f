"""A conversation over one channel: many asks at a time, told apart by our ids (MCP, transports, stdio)."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gateway.egress.reply import Terms
from gateway.upstream import UpstreamBroken, UpstreamBusy, UpstreamError, UpstreamSlow
from gateway.upstream.channels.waiting import Waiting
from gateway.upstream.conversation import EVENTS_MOST, within
from gateway.upstream.envelope import notification, reply_to
from gateway.upstream.following import pass_on
from gateway.upstream.legacy.parked import NO_SUCH_METHOD
from gateway.upstream.legacy.questions import Questions
from gateway.upstream.messages import is_answer_to, next_id, parse, read
from gateway.upstream.troubles import Trouble
from gateway.upstream.unasked import Unasked
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.egress.budget import Budget
    from gateway.upstream import Probed
    from gateway.upstream.channels import Wire
    from gateway.upstream.conversation import Listener
    from gateway.upstream.messages import Message

ASKS_MOST = 256  # at a time
LEFT_MOST = 1024  # asks given up whose late answers are still known for what they are
REPLIES_MOST = 100  # of ours that the server has not taken yet
TELL_TERMS = Terms(10.0, 10.0, 64 * 1024)


class _Progress(msgspec.Struct):
    progressToken: int | str | None = None  # noqa: N815


class _Updated(msgspec.Struct):
    uri: str


class _Meta(msgspec.Struct):
    subscription: int | str | None = msgspec.field(default=None, name="io.modelcontextprotocol/subscriptionId")


class _Subscribed(msgspec.Struct):
    meta: _Meta | None = msgspec.field(default=None, name="_meta")


class Talk:
    """One open channel. `probed` is what the server said of itself when it began, where it was asked.

    On a `shared` one nobody is asked back and nobody hears logs: whose they are does not show.
    """

    def __init__(self, wire: Wire, server: str, budget: Budget, *, shared: bool) -> None:
        self.wire = wire
        self.server = server
        self.shared = shared
        self.era = Era.LEGACY
        self.probed: Probed | None = None
        self.log_level = ""
        self.used = self.begun = asyncio.get_running_loop().time()
        self.over = asyncio.Event()
        self.fault: UpstreamError | None = None
        self.watched: set[str] = set()  # URIs subscribed to
        self.offers: set[Callable[[str, str], None]] = set()
        self._budget = budget
        self._waiting: dict[int, Waiting] = {}
        self._left: deque[int] = deque(maxlen=LEFT_MOST)
        self._unasked = Unasked()
        self._background: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether anybody needs it now."""
        return bool(self.watched) or any(one.needed for one in self._waiting.values())

    async def begin(self) -> None:
        """Raises UpstreamError."""
        await self.wire.open(self)

    def expect(self, terms: Terms, *, needed: bool = True) -> Waiting:
        """A number for an ask, and the place where its answer will come; `ask` follows.

        One that is not `needed` keeps no idle server from being let go.
        """
        if len(self._waiting) >= ASKS_MOST:
            raise UpstreamBusy("too many calls to this server are under way; nothing was sent, try again shortly")
        self._budget.admit(0)
        waiting = Waiting(next_id(), terms, self._budget, needed=needed)
        self._waiting[waiting.number] = waiting
        return waiting

    async def ask(self, waiting: Waiting, body: bytes, listener: Listener, *, cancels: bool = True) -> Message:
        """The message that answers; the server is told of an ask that is given up (2026-07-28, cancellation)."""
        waiting.listener = listener
        try:
            async with within(waiting.terms.total):
                await self.send(body, waiting.terms)
                return await self._answer(waiting, listener)
        except (asyncio.CancelledError, UpstreamSlow):
            if cancels:
                told = b'{"requestId":%d,"reason":"no longer wanted"}' % waiting.number
                self.say(notification("notifications/cancelled", told))
            raise
        finally:
            self.drop(waiting)

    async def _answer(self, waiting: Waiting, listener: Listener) -> Message:
        for _ in range(EVENTS_MOST):
            message = await waiting.next()
            if is_answer_to(message, waiting.number):
                return message
            await listener.heard(message)
        raise UpstreamBroken("the server said too much before its answer")

    def drop(self, waiting: Waiting) -> None:
        """Nobody waits for it any more."""
        waiting.close()
        if self._waiting.pop(waiting.number, None) is not None:
            self._left.append(waiting.number)

    async def tell(self, body: bytes) -> None:
        """A notification or an answer of ours."""
        await self.send(body, TELL_TERMS)

    async def send(self, body: bytes, terms: Terms) -> None:
        if self.fault is not None:
            raise self.fault
        await self.wire.send(body, terms)

    def say(self, body: bytes) -> None:
        """The same, without anybody who waits for it."""
        if len(self._background) >= REPLIES_MOST:
            self.fail(UpstreamBroken("the server asks more than it takes answers for"))
            return
        self._behind(self._try_to_tell(body))

    def fail(self, fault: UpstreamError) -> None:
        """The channel cannot be believed any more: all who wait on it hear so."""
        self.ended(fault)
        self._behind(self.wire.close())

    async def close(self) -> None:
        self.ended(UpstreamBroken("the channel was closed; the call may have been carried out", Trouble.LOST))
        for task in self._background:
            task.cancel()
        await self.wire.close()

    # -- from the wire ----------------------------------------------------------------------------------------------

    def ended(self, fault: UpstreamError) -> None:
        if self.fault is None:
            self.fault = fault
            self.over.set()
            for waiting in self._waiting.values():
                waiting.fail(fault)

    def heard(self, data: bytes) -> None:
        if self.fault is not None:
            return
        try:
            if not data.strip():
                self._unasked.bear()
                return
            message = parse(data)
            if message.method is UNSET:
                self._answered(message, len(data))
            elif message.id is UNSET:
                self._notified(message, len(data))
            else:
                self._asked(message, len(data))
        except UpstreamError as error:
            self.fail(error)

    def _answered(self, message: Message, size: int) -> None:
        """An answer to nothing that was asked makes all others doubtful (T-75); one that comes too late does not."""
        given = b"" if message.id is UNSET else bytes(message.id)
        number = int(given) if given.isdigit() and len(given) < 20 else -1
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.put(message, size)
        elif number not in self._left:
            raise UpstreamBroken("the server answered something that was not asked")
        else:
            self._unasked.bear()

    def _notified(self, message: Message, size: int) -> None:
        waiting = self._waiting.get(_concerns(message))
        if waiting is not None:
            waiting.put(message, size)
            return
        self._unasked.bear()
        if message.method != "notifications/message":
            pass_on(message, self._offer)
        elif len(self._waiting) == 1 and not self.shared:
            next(iter(self._waiting.values())).put(message, size)  # whose it is, where several wait, nobody can tell

    def _offer(self, method: str, uri: str) -> None:
        for offer in list(self.offers):
            offer(method, uri)

    def _asked(self, message: Message, size: int) -> None:
        self._unasked.bear()
        if message.method == "ping":
            self.say(reply_to(bytes(message.id), result=b"{}"))  # type: ignore[arg-type]  # a request has one
            return
        if self.era is Era.MODERN:
            raise UpstreamBroken("the server asked back, which its revision of the protocol does not have")
        askable = [] if self.shared else [one for one in self._waiting.values() if _can_be_asked(one.listener)]
        if len(askable) == 1:  # the message does not say to which ask it belongs, so with several nobody is bothered
            askable[0].put(message, size)
        else:
            self.say(reply_to(bytes(message.id), error=NO_SUCH_METHOD))  # type: ignore[arg-type]  # see above

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _try_to_tell(self, body: bytes) -> None:
        try:
            await self.tell(body)
        except UpstreamError:
            return  # it will find out by itself


def _concerns(message: Message) -> int:
    """The number of the ask that a notification belongs to: it says it in one of two places, or not at all."""
    if message.params is UNSET:
        return -1
    if message.method == "notifications/progress":
        token = read(message.params, _Progress).progressToken
        return token if isinstance(token, int) else -1
    if b"subscriptionId" not in bytes(message.params):
        return -1
    meta = read(message.params, _Subscribed).meta
    number = meta.subscription if meta is not None else None
    return number if isinstance(number, int) else -1


def _can_be_asked(listener: Listener | None) -> bool:
    return isinstance(listener, Questions) and listener.askable
