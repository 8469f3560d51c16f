"""`ostiary up`: check everything, bind, make what a first start makes, say where the door is, serve."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import in_a_sentence
from gateway.settings.loading import load

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from gateway.office import Office
    from gateway.settings import Settings


@click.command()
@click.option("--host", help="address to bind  [127.0.0.1]")
@click.option("--port", type=int, help="port to bind  [8080]")
@click.option("--data", type=click.Path(path_type=Path), help="directory of keys, database and journal  [data]")
@click.option("--public-url", help="how clients reach us, for instance https://mcp.example.com")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="certificate chain, to end TLS here")
@click.option("--tls-key", type=click.Path(path_type=Path), help="its private key")
@click.option("--database-url", help="PostgreSQL instead of SQLite in the data directory")
@click.option("--demo", is_flag=True, default=None, help="with two servers, two people, an agent and a policy to try")
@click.option("--workers", type=int, help="processes that serve  [1]")
@click.option("--insecure-bind", is_flag=True, default=None, help="bind beyond loopback without https")
@click.option("--config", type=click.Path(path_type=Path), help="configuration file (TOML)")
def up(config: Path | None, **flags: Any) -> None:
    """Open the door.

    Every setting can also stand in the configuration file, or in the environment as OSTIARY_<NAME>; flags win over
    the environment, and the environment over the file. docs/settings.md lists them all.
    """
    from gateway.assembly import alone, remember
    from gateway.workers import run

    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[_log_handler()])
    settings = load(config, **flags)
    _check_secrets(settings)
    with in_a_sentence(), ExitStack() as closing:
        sockets, settings = _bind(settings)
        for sock in sockets:
            closing.callback(sock.close)
        closing.enter_context(alone(settings))
        office = _open(settings)
        remember(settings)
        greet = _prepare(office, closing)
        if settings.workers == 1:
            run(lambda: office, settings, sockets, greet)
        else:
            office.close()  # nothing open is carried into a fork
            run(lambda: _open(settings), settings, sockets, greet)


def _check_secrets(settings: Settings) -> None:
    """Here and not with the settings: other commands read the file where the secrets may not be at hand."""
    from gateway.identity.declared import missing_secrets
    from gateway.settings.loading import ConfigurationError
    from gateway.upstream.channels.declared import missing_variables

    problems = missing_secrets(settings.identity_providers) + missing_variables(settings.stdio_servers)
    if problems:
        raise ConfigurationError(problems)


def _bind(settings: Settings) -> tuple[list[socket.socket], Settings]:
    """The sockets, and the settings with the port that the system chose."""
    from gateway.serve import bind, bind_listen

    sockets = [bind(settings)]
    settings = settings.model_copy(update={"port": sockets[0].getsockname()[1]})
    if settings.admin_listen is not None:
        sockets.append(bind_listen(settings.admin_listen, "admin_listen"))
    return sockets, settings


def _open(settings: Settings) -> Office:
    from gateway.assembly import open_office

    return open_office(settings, create=True, role="gateway")


def _prepare(office: Office, closing: ExitStack) -> Callable[[], None]:
    """What must be there before the first request: a signing key, the demo if wanted; gives what tells the way in."""
    from gateway.identity.checking import check_installed
    from gateway.identity.declaring import declare
    from gateway.identity.providers import Providers
    from gateway.starting.first_start import ensure_signing_key, first_admin_link
    from gateway.starting.greeting import greet
    from gateway.upstream.channels.enrolling import enrol

    ensure_signing_key(office)
    declare(office)
    enrol(office)
    check_installed(Providers(office).listed())
    accounts = None
    if office.settings.demo:
        from gateway.starting.demo import open_demo

        accounts = closing.enter_context(open_demo(office))
    return partial(greet, office.settings, first_admin_link(office), accounts)


def _log_handler() -> logging.Handler:
    from gateway.operating.logs import JsonLines

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    return handler
