"""Serving: sockets bound first, then one process, or several that are forked ready and replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
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
from gateway.settings import ConfigurationError, Settings
from registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from gateway.office import Office

GRACE = 5  # seconds that answers under way get when we are told to stop
RESPAWN_PAUSE = 1.0  # seconds before a worker that died young is replaced, so that a broken one does not spin

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


def run(open_office: Callable[[], Office], settings: Settings, sockets: list[socket.socket]) -> None:
    """Serves until told to stop by SIGINT or SIGTERM. `sockets`: the main one, then the admin's if there is one."""
    if settings.workers == 1:
        serve_here(open_office(), sockets)
    else:
        from gateway.metrics import shared

        with shared(settings.metrics_listen):  # before anything that counts is imported
            Workers(open_office, settings.workers, sockets).run()


def serve_here(office: Office, sockets: list[socket.socket], *, leader: bool = True) -> None:
    """Serves in this process. The `leader` also does what one process of an installation does: index and sweep."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(office, sockets, leader=leader))
    finally:
        office.close()


async def _serve(office: Office, sockets: list[socket.socket], *, leader: bool) -> None:
    from gateway.app import build, build_admin
    from gateway.assembly import open_world
    from gateway.background import background

    settings = office.settings
    async with open_world(office) as world:
        listeners = [_listener(build(world), settings)]
        if len(sockets) > 1:
            listeners.append(_listener(build_admin(world), settings))
        _stop_on_signals(listeners)
        async with background(world, leader=leader):
            await asyncio.gather(*(listener.serve([sock]) for listener, sock in zip(listeners, sockets, strict=True)))


def _listener(app: ASGIApp, settings: Settings) -> Listener:
    from gateway.edge import Edge, EdgeProtocol

    config = uvicorn.Config(
        Edge(app, settings),
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
            listener.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)


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

    def run(self) -> None:
        _import_everything()
        signal.signal(signal.SIGINT, self._stop)
        signal.signal(signal.SIGTERM, self._stop)
        for number in range(self._count):
            self._fork(number)
        while self._born:
            self._bury()
        for sock in self._sockets:
            sock.close()

    def _fork(self, number: int) -> None:
        pid = os.fork()
        if pid:
            self._born[pid] = (number, time.monotonic())
            return
        status = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            serve_here(self._open_office(), self._sockets, leader=number == 0)
            status = 0
        except (ConfigurationError, AuthzError, RegistryError, JournalDown) as refused:
            sys.stderr.write(f"ostiary: {refused}\n")
        finally:
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
        if time.monotonic() - born < RESPAWN_PAUSE:
            time.sleep(RESPAWN_PAUSE)
        self._fork(number)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True
        for pid in self._born:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


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
    sock.set_inheritable(True)
    return sock
