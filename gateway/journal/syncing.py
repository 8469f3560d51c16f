"""The thread that brings records to the disk: at most every 100 ms when somebody wrote, at once when somebody waits.

It is also the one that tries again while the journal is down, so that readiness returns without traffic.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Protocol

from gateway.journal import JournalDown

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 0.1  # seconds of records that a power cut may take with group durability

Waiter = tuple[AbstractEventLoop, "Future[None]", int]


class Written(Protocol):
    """What is brought to the disk: a ledger."""

    @property
    def closed(self) -> bool: ...
    @property
    def lost(self) -> int: ...
    def sync(self) -> None: ...


class Syncing:
    """`chores` are done after each round; one that gives True wants another round although nobody writes."""

    def __init__(self, ledger: Written) -> None:
        self.chores: list[Callable[[], bool]] = []
        self._ledger = ledger
        self._lock = Lock()
        self._waiters: list[Waiter] = []
        self.is_dirty = False
        self._wake = Event()
        self._urgent = Event()
        self._stopping = False
        self._thread: Thread | None = None

    def dirty(self) -> None:
        """Something was written; `is_dirty` says whether that is known."""
        if not self.is_dirty:
            self.is_dirty = True
            self._start()
            self._wake.set()

    async def wait(self, loop: AbstractEventLoop) -> None:
        """Until what is written now is on the disk; shares the sync with all others who wait."""
        future: Future[None] = loop.create_future()
        with self._lock:
            self._waiters.append((loop, future, self._ledger.lost))
        self.is_dirty = True
        self._start()
        self._urgent.set()
        self._wake.set()
        await future

    def stop(self) -> None:
        self._stopping = True
        self._urgent.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    def _start(self) -> None:
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None and not self._stopping:
                self._thread = Thread(target=self._run, name="journal-sync", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        again = False
        while not self._stopping:
            self._wake.wait(WINDOW if again else None)
            self._wake.clear()
            self._urgent.wait(WINDOW)
            self._urgent.clear()
            again = self._round()
        self._tell(self._take(), JournalDown("the journal is closed"))

    def _round(self) -> bool:
        self.is_dirty = False
        waiters = self._take()
        try:
            self._ledger.sync()
        except JournalDown as down:
            self._tell(waiters, down)
            return not self._ledger.closed
        self._tell(waiters, None)
        more = [chore() for chore in self.chores]
        return any(more)

    def _take(self) -> list[Waiter]:
        with self._lock:
            waiters, self._waiters = self._waiters, []
        return waiters

    def _tell(self, waiters: list[Waiter], down: JournalDown | None) -> None:
        for loop, future, lost in waiters:
            verdict = down
            if verdict is None and lost != self._ledger.lost:
                verdict = JournalDown("the journal's disk did not confirm what was written")
            with suppress(RuntimeError):  # its loop may be closed by now
                loop.call_soon_threadsafe(_settle, future, verdict)


def _settle(future: Future[None], down: JournalDown | None) -> None:
    if future.done():
        return
    if down is None:
        future.set_result(None)
    else:
        future.set_exception(down)
