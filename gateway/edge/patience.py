"""How long a connection waits for its client: for a head, a body, the next request, or until its answer is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.edge.unread import Unread

if TYPE_CHECKING:
    from asyncio import TimerHandle
    from collections.abc import Callable

WRITE_DEADLINE: Final = 30.0  # seconds in which a client that is behind reads at least
WRITE_LEAST: Final = 64 * 1024  # bytes: who is merely slow gets its answer, who reads a byte now and then does not


class Patience(HttpToolsProtocol):
    """The timers of a connection. There are as few as can be: each costs what a good part of a call costs."""

    unread: Unread = Unread()  # of all connections of this process

    _deadline: TimerHandle | None = None
    _write_deadline: TimerHandle | None = None
    _behind = 0
    _idle: TimerHandle | None = None
    _idle_since = 0.0

    def _rest(self) -> None:
        """A request has been answered, and there is no other yet: one timer for a connection's life."""
        self._idle_since = self.loop.time()
        if self._idle is None:
            self._idle = self.loop.call_later(self.timeout_keep_alive, self._look_idle)

    def _forget_timers(self) -> None:
        self._unwatch()
        self.unread.drop(self.transport)
        for timer in (self._write_deadline, self._idle):
            if timer is not None:
                timer.cancel()

    def _look_idle(self) -> None:
        self._idle = None
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if not self.cycle.response_complete:
            left = self.timeout_keep_alive
        if left > 0:
            self._idle = self.loop.call_later(left, self._look_idle)
        elif not self.transport.is_closing():
            self.transport.close()

    def _watch(self, seconds: float, late: Callable[[], None]) -> None:
        self._unwatch()
        self._deadline = self.loop.call_later(seconds, late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.add(self.transport)
        if self._write_deadline is None:
            self._watch_reader()

    def _watch_reader(self) -> None:
        self._behind = self.transport.get_write_buffer_size()
        self._write_deadline = self.loop.call_later(WRITE_DEADLINE, self._look_at_reader)

    def _look_at_reader(self) -> None:
        if self.transport.get_write_buffer_size() > self._behind - WRITE_LEAST:
            self.transport.abort()
            return
        self.unread.add(self.transport)
        self._watch_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.drop(self.transport)
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None
