"""Whom the secrets of a server's app are for: asked of the server or its description, shown, and written down only when
somebody says yes (ADR 33).
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from registry.credentials.modes import MODES, NO_SETTINGS, option_of
from registry.screening.hidden import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.fetch import Fetcher
    from registry.catalogue import Upstream
    from registry.openapi.kept import Api
    from registry.openapi.security import Way
    from registry.tables import Auth

    Settings = dict[str, Any]

PLACES = frozenset({"issuer", "token_endpoint", "query", "cookie", "header"})  # one of them says whither already
SAID = frozenset({"issuer", "token_endpoint", "workload"})  # of a platform's token the operator's file says it


def options(settings: Mapping[str, Any]) -> str:
    """Settings as they are given on the command line; whoever pastes them runs nothing that others wrote."""
    pairs = (
        (name, one) for name, value in settings.items() for one in (value if isinstance(value, tuple) else (value,))
    )
    return " ".join(f"{option_of(name)} {shlex.quote(visible(str(one)))}" for name, one in pairs)


def proposed(api: Api, auth: Auth, settings: Settings) -> Settings:
    """`settings`, with what the description says of this mode once somebody has agreed to it."""
    fitting = [way for way in api.ways if auth in way.modes]
    if not fitting or PLACES & settings.keys():
        return settings
    if len(fitting) > 1:
        raise click.UsageError(f"the description has several ways for --auth {auth}; choose one:\n{_lines(fitting)}")
    new = {name: value for name, value in fitting[0].settings.items() if name not in settings}
    _agree(
        f"The description says of --auth {auth} (its security scheme {fitting[0].scheme}):\n{_lines(fitting)}\n"
        "Whoever wrote it says so: people are sent there, and secrets.",
        "Is that where they belong?",
        new,
    )
    return settings | new


def named(reach: Callable[[], tuple[Fetcher, Upstream]], auth: Auth, settings: Settings) -> Settings:
    """`settings`, with the authorization server that the server names, where an app's secret would go to it.

    `reach` gives the server and the way to it, once that is needed.
    """
    if not _sends_a_secret(auth, settings):
        return settings
    from gateway.credentials import Refused, Unanswered
    from gateway.credentials.oauth.finding.discovery import Discovery

    fetcher, upstream = reach()
    try:
        issuer = Discovery().find(fetcher, replace(upstream, auth_settings=NO_SETTINGS)).authority.issuer
    except (Refused, Unanswered) as silent:
        raise click.UsageError(
            f"say with --issuer, or with --token-endpoint, whom the app's secret is for; the server does not: {silent}"
        ) from silent
    _agree(
        f"{upstream.slug} names as its authorization server\n  {visible(issuer)}\n"
        "The app's secret goes there and nowhere else.",
        "Is the app registered there?",
        {"issuer": issuer},
    )
    return settings | {"issuer": issuer}


def _sends_a_secret(auth: Auth, settings: Settings) -> bool:
    fields = MODES[auth].model_fields
    if "issuer" not in fields or "client_auth" not in fields or SAID & settings.keys():
        return False
    return str(settings.get("client_auth", fields["client_auth"].default)).startswith("client_secret")


def _agree(what: str, question: str, new: Settings) -> None:
    """Somebody at a terminal says yes; a script says it with options."""
    if not _somebody_is_there():
        raise click.ClickException(f"{what}\nIf that is so, say it yourself: {options(new)}")
    click.echo(what, err=True)
    click.confirm(question, abort=True, err=True)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _lines(ways: list[Way]) -> str:
    return "\n".join(f"  {options(way.settings)}" for way in ways)
