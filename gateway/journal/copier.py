"""The process that copies the journal into the database all the time: `python -m gateway.journal.copier`.

A process, so that it never holds the interpreter while a call wants it, and may use a core that is idle. It reads when
nobody else wants the core (sched(7): SCHED_IDLE), and where that took long it does not write either, until it is too
far behind: who writes holds a lock, so that is done at once and at the usual rank. Its orders come on standard input,
whose end is its own; on standard output it says how it gets on.
"""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.journal.index import Indexer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.journal.index import Batch

IDLE: Final = 1.0  # seconds between two looks at a journal in which nothing is new
BREATH: Final = 0.01  # seconds in which others can write to the database
LATE: Final = 15.0  # seconds behind, after which reading wants its share of the core like everybody
CROWD: Final = 2.0  # times its own processor time that a reading takes where others want the core
SLACK: Final = 0.02  # seconds, for a disk
FEW: Final = 50  # records, which take 2 ms to write
SAY_EVERY: Final = 1.0


class Orders(msgspec.Struct):
    """`database` is what the driver's `connect` is given."""

    directory: str
    postgresql: bool
    database: dict[str, Any]


class Progress(msgspec.Struct):
    """`waiting`: the age in seconds of the oldest record that cannot be found yet, while there are too many at once."""

    waiting: float = 0.0
    trouble: str = ""


class Copies:
    """The little of a database that is needed: one connection, made anew after a fault."""

    def __init__(self, orders: Orders) -> None:
        self.is_postgresql = orders.postgresql
        self._given = orders.database
        self._connection: Any = None
        self.fault: type[Exception] = sqlite3.Error
        if orders.postgresql:
            import psycopg

            self.fault = psycopg.Error

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """See `Store`. After a fault somebody has to `leave`, which undoes what is not committed."""
        self._connection = self._connection or self._connect()
        yield self._connection.cursor()
        self._connection.commit()

    def leave(self) -> None:
        """Undo what is not committed, and connect anew the next time: the file may be another one then."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self.fault):
                connection.close()

    def _connect(self) -> Any:
        if self.is_postgresql:
            import psycopg

            return psycopg.connect(**self._given)
        connection = sqlite3.connect(**self._given, isolation_level=None, timeout=15)
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection


class Crowded(Exception):
    """Others want the core: to write now would hold them up."""


class Quiet:
    """Reads in a thread that runs when nothing else would, unless it is late: then at once, in this one.

    Raises Crowded where that took so long that the core is wanted by others, and there is much to write.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, initializer=_yield_to_all)
        self.late = False

    def __call__(self, read: Callable[[], Batch | None]) -> Batch | None:
        if self.late:
            return read()
        found, waited, used = self._thread.submit(_timed, read).result()
        if found is not None and len(found.rows) > FEW and waited > CROWD * used + SLACK:
            raise Crowded
        return found


def _timed(read: Callable[[], Batch | None]) -> tuple[Batch | None, float, float]:
    began, before = time.monotonic(), time.thread_time()
    found = read()
    return found, time.monotonic() - began, time.thread_time() - before


class Copier:
    """Steps until there is nothing new, rests, and goes on until `resting` says that it is over."""

    def __init__(self, indexer: Indexer, copies: Copies, quiet: Quiet, say: Callable[[Progress], None]) -> None:
        self._indexer, self._copies, self._quiet, self._say = indexer, copies, quiet, say
        self._level = time.monotonic()  # when it was last with the newest record
        self._said = Progress()
        self._said_at = 0.0

    def run(self, over: Callable[[float], bool]) -> None:
        pause = 0.0
        while not over(pause):
            pause = self._round()

    def _round(self) -> float:
        """A batch of each segment that has something new; gives how long to rest after it."""
        try:
            more = self._indexer.step()
            self._see(more=more)
        except Crowded:
            self._see(more=True)
            return IDLE
        except (self._copies.fault, OSError) as error:
            self._copies.leave()
            self._tell(Progress(self._said.waiting, type(error).__name__))
            return IDLE
        if not more and not self._copies.is_postgresql:
            self._copies.leave()  # the file may be another one when there is something new
        return BREATH if more else IDLE

    def _see(self, *, more: bool) -> None:
        now = time.monotonic()
        if not more:
            self._level = now
            self._tell(Progress())
        elif now - self._said_at >= SAY_EVERY:
            self._said_at = now
            self._tell(Progress(self._indexer.waiting()))
        self._quiet.late = now - self._level > LATE

    def _tell(self, progress: Progress) -> None:
        if progress != self._said:
            self._said = progress
            self._say(progress)


def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    copies, quiet = Copies(orders), Quiet()
    Copier(Indexer(Path(orders.directory), copies, quiet), copies, quiet, _say).run(_is_over)
    os._exit(0)


def _is_over(pause: float) -> bool:
    """Waits; True when whoever started us is gone."""
    ready, _, _ = select.select([sys.stdin], [], [], pause)
    return bool(ready)


def _say(progress: Progress) -> None:
    with suppress(OSError):
        sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
        sys.stdout.buffer.flush()


def _yield_to_all() -> None:
    with suppress(AttributeError, OSError):  # where there is no such thing it runs like all others
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread alone


if __name__ == "__main__":
    main()
