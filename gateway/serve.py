"""Serving: sockets bound first, then one process, or several that are forked ready and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from authz.errors import AuthzError
from gateway.journal import JournalDown
from gateway.settings.loading import ConfigurationError
from gateway.starting.memory import give_back_large_blocks
from registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.app import Planes
    from gateway.office import Office
    from gateway.settings import Settings

GRACE = 5  # seconds that answers under way get when we are told to stop
LAST = 30  # seconds after that word; who hangs even then (a database that does not answer) ends as if it were killed
LATER = 3  # seconds that a worker has for that before its parent kills it
STOPPING = (signal.SIGINT, signal.SIGTERM)
YOUNG = 2.0  # seconds; a worker that gives up younger is replaced after a pause, so that a broken one does not spin
RESPAWN_PAUSE = 1.0
GIVE_UP = 5  # such ends in a row, for each worker, after which there is no hope
SWITCH = 0.0005  # seconds that a thread (a sign-in, the search index) may hold the interpreter while calls want it

log = logging.getLogger("ostiary")


class Listener(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there may be two of them in one process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(settings: Settings) -> socket.socket:
    """The listening socket of the main address. Raises ConfigurationError when it cannot be had."""
    return _bind(settings.host, settings.port, "port")


def bind_listen(listen: str, name: str) -> socket.socket:
    """The same for a `host:port` setting."""
    host, _, port = listen.rpartition(":")
    return _bind(host.strip("[]"), int(port), name)


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


def serve_here(
    office: Office,
    sockets: list[socket.socket],
    *,
    leader: bool = True,
    parent: int = 0,
    opening: Callable[[], None] | None = None,
) -> None:
    """Serves in this process. The `leader` also does what one process of an installation does: index and sweep.

    `parent` is the process that a worker does not outlive.
    """
    give_back_large_blocks()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(office, sockets, leader, parent, opening))
    finally:
        office.close()


async def _serve(
    office: Office,
    sockets: list[socket.socket],
    leader: bool,
    parent: int,
    opening: Callable[[], None] | None,
) -> None:
    from gateway.app import build, build_admin
    from gateway.assembly import open_world
    from gateway.background import background

    settings = office.settings
    async with open_world(office) as world:
        listeners = [_listener(build(world), settings)]
        if len(sockets) > 1:
            listeners.append(_listener(build_admin(world), settings))
        _stop_on_signals(listeners)
        works = {"orphaned": lambda: _stop_when_orphaned(parent, listeners)} if parent else {}
        gc.collect()
        gc.freeze()  # what is there now stays: to go through it again and again would hold up calls for 100 ms
        sys.setswitchinterval(SWITCH)
        async with background(world, leader=leader, also=works):
            if opening is not None:
                opening()
            await asyncio.gather(*(listener.serve([sock]) for listener, sock in zip(listeners, sockets, strict=True)))


async def _stop_when_orphaned(parent: int, listeners: list[Listener]) -> None:
    """A worker whose parent was killed would serve on with nobody to stop it."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the system tells nobody
        await asyncio.sleep(1)
    _stop(listeners)


def _stop(listeners: list[Listener]) -> None:
    """Once answers under way have been given, or have had their time.

    Nothing that hangs may keep a process from ending: a thread in C sees to that, and says where each of ours is.
    """
    told = any(listener.should_exit for listener in listeners)
    for listener in listeners:
        listener.should_exit = True
    if not told:
        faulthandler.dump_traceback_later(LAST, exit=True)


def _listener(planes: Planes, settings: Settings) -> Listener:
    from gateway.edge import Edge, EdgeProtocol

    config = uvicorn.Config(
        Edge(planes.control, settings, planes.portal),
        http=EdgeProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,  # the journal is the line
        proxy_headers=False,  # `trusted_proxies` alone decides whose word counts
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE,
        backlog=2048,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    return Listener(config)


def _stop_on_signals(listeners: list[Listener]) -> None:
    def stop() -> None:
        for listener in listeners:
            listener.force_exit = listener.should_exit  # told twice: do not wait for answers under way
        _stop(listeners)

    loop = asyncio.get_running_loop()
    for signum in STOPPING:
        loop.add_signal_handler(signum, stop)


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


def _bind(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigurationError(
            [f"{name}: {host}:{port} cannot be bound ({error.strerror}); choose another"]
        ) from error
    return sock
