"""One process that serves, or several that are forked ready and replaced when they die."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from authz.errors import AuthzError
from gateway.journal import JournalDown
from gateway.serve import LAST, STOPPING, serve_here
from gateway.settings.loading import ConfigurationError
from registry.errors import RegistryError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.office import Office
    from gateway.settings import Settings

LATER = 3  # seconds that a worker has to end by itself when it hangs, before its parent kills it
YOUNG = 2.0  # seconds; a worker that gives up younger is replaced after a pause, so that a broken one does not spin
RESPAWN_PAUSE = 1.0
GIVE_UP = 5  # such ends in a row, for each worker, after which there is no hope

log = logging.getLogger("ostiary")


def run(
    open_office: Callable[[], Office], settings: Settings, sockets: list[socket.socket], opening: Callable[[], None]
) -> None:
    """Serves until told to stop by SIGINT or SIGTERM. `sockets`: the main one, then the admin's if there is one.

    `opening` is called when nothing is left to do but to listen, and being told to stop is heard already.
    """
    if settings.workers == 1:
        serve_here(open_office(), sockets, opening=opening)
    else:
        from gateway.operating.metrics import shared

        with shared(settings.metrics_listen):  # before anything that counts is imported
            Workers(open_office, settings.workers, sockets).run(opening)


class Workers:
    """Forks workers that share the listening sockets, and replaces those that die.

    The parent opens no database, no journal and no thread, so that a fork is clean; it has imported everything, so
    that a worker is there in milliseconds.
    """

    def __init__(self, open_office: Callable[[], Office], count: int, sockets: list[socket.socket]) -> None:
        self._open_office = open_office
        self._count = count
        self._sockets = sockets
        self._born: dict[int, tuple[int, float]] = {}  # pid → (number, when)
        self._stopping = False
        self._killed = False  # some that did not end
        self._failed = 0  # in a row, while young

    def run(self, opening: Callable[[], None]) -> None:
        _import_everything()
        for signum in STOPPING:
            signal.signal(signum, self._stop)
        signal.signal(signal.SIGALRM, self._kill)
        opening()
        for number in range(self._count):
            self._fork(number)
        while self._born:
            self._bury()
        for sock in self._sockets:
            sock.close()
        if self._hopeless or self._killed:
            sys.exit(1)  # whoever supervises us must see that it was no end as it should be

    def _fork(self, number: int) -> None:
        parent = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # a child must not run our handler
        if self._stopping:  # asked here, where nobody can be told to stop after the question and before the fork
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            return
        pid = os.fork()
        if pid:
            self._born[pid] = (number, time.monotonic())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            return
        status = 1
        try:
            for signum in (*STOPPING, signal.SIGALRM):
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            serve_here(self._open_office(), self._sockets, leader=number == 0, parent=parent)
            status = 0
        except (ConfigurationError, AuthzError, RegistryError, JournalDown) as refused:
            sys.stderr.write(f"ostiary: {refused}\n")
        finally:
            if error := sys.exception():  # nothing comes after us that would print it
                log.critical("a worker failed", exc_info=error)
            sys.stderr.flush()
            os._exit(status)

    def _bury(self) -> None:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            self._born.clear()
            return
        number, born = self._born.pop(pid, (None, 0.0))
        if number is None or self._stopping:
            return
        log.error("worker %d ended with status %d and is replaced", number, status)
        failed = os.WIFEXITED(status) and time.monotonic() - born < YOUNG
        self._failed = self._failed + 1 if failed else 0
        if self._hopeless:
            log.error("workers cannot live: giving up; what stands above says why")
            self._stop()
        if self._failed:
            time.sleep(RESPAWN_PAUSE)
        self._fork(number)

    @property
    def _hopeless(self) -> bool:
        return self._failed > GIVE_UP * self._count

    def _stop(self, _number: int = 0, _frame: object = None) -> None:
        if not self._stopping:
            signal.alarm(LAST + LATER)
        self._stopping = True
        self._tell(signal.SIGTERM)

    def _kill(self, _number: int, _frame: object) -> None:
        """They see to their end themselves, unless they were stopped or hang in the system."""
        log.error("workers that were told to stop did not end and are killed")
        self._killed = True
        self._tell(signal.SIGKILL)

    def _tell(self, signum: signal.Signals) -> None:
        for pid in self._born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


def _import_everything() -> None:
    """What every worker would import anyway, imported once and shared copy-on-write."""
    import gateway.app
    import gateway.assembly
    import gateway.background
    import gateway.edge
    import gateway.snapshots  # noqa: F401
