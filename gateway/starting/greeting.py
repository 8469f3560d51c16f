"""What `ostiary up` prints: where the door is and how to come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.clients_setup import setups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings import Settings
    from gateway.starting.furniture import Account


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
        how = "needs an https address; start it so:" if setup.needs_https and not settings.secure else setup.how
        yield f"    {setup.name}: {how}"
        yield from (f"      {line}" for line in setup.text.splitlines())
    yield ""
    yield "  Ctrl-C stops it; the next start keeps everything."
    yield ""


def _anew(name: str) -> str:
    """What makes another secret: a person's can be replaced, an agent's cannot."""
    from gateway.starting.furniture import AGENT, AGENT_GROUP

    if name == AGENT:
        return f"ostiary client add OTHER_NAME --agent --group {AGENT_GROUP}"
    return f"ostiary user password {name}"


def _demo(accounts: list[Account]) -> Iterator[str]:
    yield "  The demo:"
    for account in accounts:
        secret = account.secret or f"(printed at the first start; `{_anew(account.name)}`)"
        yield f"    {account.name:<9} {secret}"
        yield f"              {account.what}"
    yield ""
