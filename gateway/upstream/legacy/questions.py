"""What a legacy server says and asks while it works on one ask, over whatever it is reached by."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from msgspec import UNSET

from gateway.upstream import AskRefused, UpstreamBroken, UpstreamError
from gateway.upstream.conversation import pass_on
from gateway.upstream.envelope import reply_to
from gateway.upstream.legacy.parked import NO_SUCH_METHOD, Parked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.upstream import Ask, Downstream
    from gateway.upstream.messages import Message

log = logging.getLogger("ostiary")

RELAYED = frozenset({"elicitation/create", "sampling/createMessage", "roots/list"})
QUESTIONS_MOST = 100  # that one ask may lead to


class Waited(Protocol):
    """The answer that is waited for meanwhile."""

    patient: bool  # silence is ours: somebody is being asked something

    def fail(self, fault: UpstreamError) -> None:
        """It will not come."""


class NotYet:
    """What is waited for while the request is still being sent."""

    patient = False

    def fail(self, fault: UpstreamError) -> None:
        """The server hears nothing, and will say so itself."""
        log.info("what a server asked could not be answered (%s)", type(fault).__name__)


class Questions:
    """Each question is put to the caller beside the answer that is waited for; `tell` carries what the caller says."""

    def __init__(
        self,
        tell: Callable[[bytes], Awaitable[None]],
        server: str,
        ask: Ask,
        number: int,
        down: Downstream,
        waited: Waited,
    ) -> None:
        self._tell = tell
        self._server = server
        self._ask = ask
        self._number = number
        self._down = down
        self._waited = waited
        self._open: set[asyncio.Task[None]] = set()
        self._count = 0

    @property
    def askable(self) -> bool:
        """Whether anybody can be asked."""
        return bool(self._ask.legacy_session) or isinstance(self._down, Parked)

    async def heard(self, message: Message) -> None:
        if message.id is UNSET:
            await pass_on(message, self._ask, self._number, self._down)
            return
        self._count += 1
        if self._count > QUESTIONS_MOST:
            raise UpstreamBroken("the server asks too many questions")
        task = asyncio.create_task(self._answer(message))
        self._open.add(task)
        self._waited.patient = True  # it waits for us now
        task.add_done_callback(self._answered)

    def listen_on(self, waited: Waited) -> None:
        """The answer is waited for elsewhere from now on."""
        self._waited = waited
        waited.patient = bool(self._open)

    def close(self) -> None:
        for task in self._open:
            task.cancel()

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._waited.patient = bool(self._open)
        fault = None if task.cancelled() else task.exception()
        if fault is not None:  # a fault of ours: the ask ends with it instead of waiting for a silence
            log.error("a question of %s could not be put", self._server, exc_info=fault)
            self._waited.fail(UpstreamBroken("what the server asked could not be put to the caller"))

    async def _answer(self, message: Message) -> None:
        try:
            await self._tell(await self._reply_to(message))
        except UpstreamError as error:
            self._waited.fail(error)

    async def _reply_to(self, message: Message) -> bytes:
        number = bytes(message.id)  # type: ignore[arg-type]  # a request has one
        if message.method == "ping":
            return reply_to(number, result=b"{}")
        if message.method not in RELAYED or not self.askable:
            return reply_to(number, error=NO_SUCH_METHOD)
        params = b"{}" if message.params is UNSET else bytes(message.params)
        try:
            return reply_to(number, result=await self._down.request(str(message.method), params))
        except AskRefused as refused:
            return reply_to(number, error=refused.error)
