"""What `ostiary up` prints: where the door is and how to come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.clients_setup import setups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.demo_furniture import Account
    from gateway.settings import Settings


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
        note = "  (needs an https address)" if setup.needs_https and not settings.secure else ""
        yield f"    {setup.name}{note}"
        yield from (f"      {line}" for line in setup.text.splitlines())
    yield ""
    yield "  Ctrl-C stops it; the next start keeps everything."
    yield ""


def _demo(accounts: list[Account]) -> Iterator[str]:
    yield "  The demo:"
    for account in accounts:
        secret = account.secret or "(printed at the first start; `ostiary user password` makes a new one)"
        yield f"    {account.name:<10} {secret:<28} {account.what}"
    yield ""
