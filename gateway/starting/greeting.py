"""What `ostiary up` prints: where the door is and how to come in."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.clients_setup import setups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings import Settings
    from gateway.starting.furniture import Account

HTTPS = "needs an https address; start it so, with TLS in front or with --tls-cert and --tls-key:"


def greet(settings: Settings, admin_link: str | None, accounts: list[Account] | None) -> None:
    """Prints it all on standard output, at once, before the first request is served."""
    click.echo("\n".join(_lines(settings, admin_link, accounts)))


def _lines(settings: Settings, admin_link: str | None, accounts: list[Account] | None) -> Iterator[str]:
    portal = f"{settings.base_url}/mcp"
    yield ""
    yield f"  Ostiary is open. The portal, for every MCP client:  {portal}"
    yield f"  What it is and what is yours:                       {settings.base_url}/"
    yield ""
    if admin_link is not None:
        yield f"  Make yourself the admin (works once, 15 minutes):   {admin_link}"
        yield ""
    if accounts is not None:
        yield from _demo(accounts)
    yield "  Paste into your client:"
    for setup in setups(portal):
        yield f"    {setup.name}: {HTTPS if setup.needs_https and not settings.secure else setup.how}"
        yield from (f"      {line}" for line in setup.text.splitlines())
        if setup.link:
            yield f"      {setup.link}"
    yield ""
    if command := _command(settings):
        yield f"  Where it says `ostiary`, write:  {command}"
    yield "  Ctrl-C stops it; the next start keeps everything."
    yield ""


def _command(settings: Settings) -> str:
    """What to write instead of `ostiary`, where that word alone finds no program, or the data of another door."""
    found = shutil.which("ostiary")
    known = found is not None and Path(found).resolve() == Path(sys.argv[0]).resolve()
    elsewhere = settings.data != type(settings).model_fields["data"].default
    data = f" COMMAND --data {shlex.quote(str(settings.data))}" if elsewhere else ""
    program = f"{sys.executable} -m gateway" if sys.argv[0].endswith("__main__.py") else sys.argv[0]
    return "" if known and not data else ("ostiary" if known else program) + data


def _anew(name: str) -> str:
    """What makes another secret."""
    from gateway.starting.furniture import AGENT

    return f"ostiary client secret {name}" if name == AGENT else f"ostiary user password {name} --generate"


def _demo(accounts: list[Account]) -> Iterator[str]:
    yield "  The demo:"
    for account in accounts:
        secret = account.secret or f"(printed at the first start; for another: `{_anew(account.name)}`)"
        yield f"    {account.name:<9} {secret}"
        yield f"              {account.what}"
    yield ""
