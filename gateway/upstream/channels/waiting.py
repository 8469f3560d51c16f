"""One answer that is waited for on a channel, with all that belongs to it and comes before."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from gateway.upstream import UpstreamBroken, UpstreamSlow
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from gateway.egress.budget import Budget
    from gateway.egress.reply import Terms
    from gateway.upstream import UpstreamError
    from gateway.upstream.conversation import Listener
    from gateway.upstream.messages import Message

TOO_LONG = "the server did not answer in time; the call may have been carried out"


class Waiting:
    """What it holds counts against the budget until it is read, or closed."""

    def __init__(self, number: int, terms: Terms, budget: Budget, *, needed: bool) -> None:
        self.number = number
        self.needed = needed
        self.terms = terms
        self.patient = False  # silence is ours: somebody is being asked something
        self.listener: Listener | None = None
        self._budget = budget
        self._messages: deque[tuple[Message, int]] = deque()
        self._came = asyncio.Event()
        self._fault: UpstreamError | None = None
        self._size = 0

    def put(self, message: Message, size: int) -> None:
        """Too much of it ends it."""
        self._size += size
        fits = self._budget.take(size)
        self._messages.append((message, size))
        if not fits or 0 < self.terms.size < self._size:
            self.close()
            self.fail(UpstreamBroken("the server's answer is too large, or too much is in flight", Trouble.TOO_LARGE))
        self._came.set()

    def fail(self, fault: UpstreamError) -> None:
        self._fault = self._fault or fault
        self._came.set()

    async def next(self) -> Message:
        """The next message. Raises UpstreamError, UpstreamSlow after too long a silence that is not ours."""
        while not self._came.is_set():
            try:
                async with asyncio.timeout(self.terms.silence):
                    await self._came.wait()
            except TimeoutError as late:
                if not self.patient:
                    raise UpstreamSlow(TOO_LONG) from late
        if not self._messages and self._fault is not None:
            raise self._fault
        message, size = self._messages.popleft()
        self._budget.give(size)
        if not self._messages and self._fault is None:
            self._came.clear()
        return message

    def close(self) -> None:
        for _, size in self._messages:
            self._budget.give(size)
        self._messages.clear()
