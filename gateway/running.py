"""Running a request without a task for as long as it waits for nothing but its server's answer.

A task, its wakeups and the rounds of the loop between them cost more than most of what a call does. So a request is a
plain coroutine that is stepped by whoever has news for it: the connection it came on, and the one its answer comes on.
The first time it waits for anything else it becomes a task, in the middle of what it is doing.
"""

from __future__ import annotations

import asyncio
from types import coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Signal:
    """Something that comes once. Like a future, but whoever waits goes on at once, not in the loop's next round."""

    come = False
    _asyncio_future_blocking = False
    fault: BaseException | None = None  # what came instead
    then: Callable[[], object] | None = None  # what to do when it comes

    def set(self, fault: BaseException | None = None) -> None:
        """It has come, or `fault` has instead."""
        if self.come:
            return
        self.come = True
        self.fault = fault
        then, self.then = self.then, None
        if then is not None:
            try:
                then()
            except Exception as broke:  # noqa: BLE001 - whoever brings it has no part in what is made of it
                said = {"message": "what waited for a signal broke", "exception": broke}
                asyncio.get_running_loop().call_exception_handler(said)

    def __await__(self) -> Generator[Signal, None, None]:
        if not self.come:
            self._asyncio_future_blocking = True
            yield self
        if self.fault is not None:
            raise self.fault

    # What a task asks of a future that it waits for

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    def add_done_callback(self, then: Callable[[Signal], object], *, context: Any = None) -> None:
        loop = asyncio.get_running_loop()
        if self.come:
            loop.call_soon(then, self, context=context)
        else:
            self.then = lambda: loop.call_soon(then, self, context=context)

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a future
        came = self.come
        self.set(asyncio.CancelledError())
        return not came

    def result(self) -> None:
        if self.fault is not None:
            raise self.fault


class Run:
    """A coroutine under way. `cancel` and `uncancel` are those of a task, which it may have become."""

    __slots__ = ("_asked", "_coroutine", "_ended", "_loop", "_signal", "_task")

    def __init__(self, work: Coroutine[Any, Any, None], ended: Callable[[Run], object]) -> None:
        self._coroutine = work
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._signal: Signal | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked = 0

    def step(self) -> None:
        """Go on until it waits again, or ends."""
        self._signal = None
        self._go(self._coroutine.send, None)

    def cancel(self, msg: object = None) -> bool:
        """Soon, as a task does it: whoever cancels may be in the middle of something."""
        if self._task is not None:
            self._cancel_task(self._task, msg)
            return True
        self._asked += 1
        self._loop.call_soon(self._throw)
        return True

    def uncancel(self) -> int:
        """How many have cancelled it besides the one that is heard now."""
        if self._task is not None:
            return self._task.uncancel()
        self._asked -= 1
        return self._asked

    def _cancel_task(self, task: asyncio.Task[None], msg: object = None) -> None:
        """Behind its first step: one that is cancelled before never runs, and what it holds would hear of nothing."""
        self._loop.call_soon(task.cancel, msg)

    def _throw(self) -> None:
        if self._task is not None:  # which it may have become a moment ago
            self._cancel_task(self._task)
        elif self._signal is not None:
            self._signal.then = None
            self._signal = None
            self._go(self._coroutine.throw, asyncio.CancelledError())

    def _go(self, act: Callable[[Any], object], what: object) -> None:
        try:
            waited = act(what)
        except (StopIteration, asyncio.CancelledError):
            self._ended(self)
            return
        except BaseException:
            self._ended(self)
            raise
        if self._task is None and isinstance(waited, Signal):
            self._signal = waited
            waited.then = self.step
        else:
            self._task = self._loop.create_task(_rest(self._coroutine, waited))
            self._task.add_done_callback(lambda _: self._ended(self))


class Over:
    """In the place of what has ended: whatever ran holds its request, which must not hold it in turn.

    Each call would otherwise stay, with all that came and went with it, until the garbage is collected.
    """

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - the signature of a task
        return False


OVER: Final = Over()


@coroutine
def _rest(work: Coroutine[Any, Any, None], waited: object) -> Generator[object, Any, None]:
    """What is left of `work`, which waits for `waited`."""
    while True:
        try:
            came = yield waited
        except BaseException as fault:  # noqa: BLE001 - handed on to where it belongs
            step: Callable[[Any], object] = work.throw
            news = fault
        else:
            step, news = work.send, came
        try:
            waited = step(news)
        except StopIteration:
            return


async def as_task() -> None:
    """From here on the caller is a task: what follows wants one (timeouts, groups) or waits for many things."""
    await asyncio.sleep(0)
