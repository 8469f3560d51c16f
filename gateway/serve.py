"""Serving in one process, on sockets that were bound before, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
import uvloop

from gateway.settings.loading import ConfigurationError
from gateway.starting.memory import give_back_large_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.app import Planes
    from gateway.office import Office
    from gateway.settings import Settings

GRACE = 5  # seconds that answers under way get when we are told to stop
LAST = 30  # seconds after that word; who hangs even then (a database that does not answer) ends as if it were killed
STOPPING = (signal.SIGINT, signal.SIGTERM)
SWITCH = 0.0005  # seconds that a thread (a sign-in, the search index) may hold the interpreter while calls want it


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
