"""`ostiary server add|refresh`: commands that ask a server what it offers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, with_office
from gateway.cli.server_auth import auth_options, secrets_of, settings_of
from gateway.cli.server_show import show_review, the_server
from gateway.office import operator
from registry.database import Concern
from registry.servers import ASKABLE, DEFAULT_ALLOWED
from registry.tables import Auth, Transport

if TYPE_CHECKING:
    from gateway.office import Office


@click.command("add")
@the_server
@click.argument("url")
@click.option("--title", default="", help="how people read it; without it the slug")
@click.option("--owner", default="", help="who answers for it")
@click.option("--auth", type=click.Choice([str(auth) for auth in Auth]), default="none", help="how it knows us")
@click.option("--transport", type=click.Choice(["http", "sse"]), default="http", help="sse is HTTP+SSE of 2024-11-05")
@click.option(
    "--allow",
    default=",".join(DEFAULT_ALLOWED),
    help=f"what it may ask of callers: {', '.join(ASKABLE)}, or none",
)
@click.option("--allow-address", is_flag=True, help="admit this scheme, host and port although the rules refuse it")
@auth_options
@as_json
@with_office
def server_add(
    office: Office,
    slug: str,
    url: str,
    *,
    allow: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Register the server SLUG at URL and look at all it offers.

    A secret is read from a file, from the environment, or for --auth static from standard input; never from an option.
    """
    from registry.servers import Proposal, propose

    auth = Auth(given["auth"])
    proposal = Proposal(
        slug=slug,
        url=url,
        title=given["title"],
        owner=given["owner"],
        auth=auth,
        auth_settings=settings_of(given),
        secrets=secrets_of(auth, given),
        allowed=tuple(word.strip() for word in allow.split(",") if word.strip() not in {"", "none"}),
        transport=Transport(given["transport"]),
        allow_address=given["allow_address"],
    )
    facts = {"server": slug, "url": url, "auth": str(auth), "allow_address": proposal.allow_address}
    with office.change("server.added", Concern.CATALOGUE, who=operator(), **facts) as (session, _):
        added = propose(
            session, proposal, who=operator(), exceptions=office.settings.allow_addresses, vault=office.vault
        )
    _look(office, added.slug)
    show_review(office, slug, as_json=as_json)


@click.command("refresh")
@the_server
@as_json
@with_office
def server_refresh(office: Office, slug: str, *, as_json: bool) -> None:
    """Ask the server again what it offers; whatever changed is hidden until it is approved."""
    _look(office, slug)
    show_review(office, slug, as_json=as_json)


def _look(office: Office, slug: str) -> None:
    """Asks the server, on a loop of our own, and stores what it says; a failure is one sentence and exit code 1."""
    from gateway.upstream.once import refresh_once
    from registry.servers import find

    asyncio.run(refresh_once(office, slug, who=operator()))
    with office.database.read() as session:
        failure = find(session, slug).failure
    if failure:
        raise click.ClickException(
            f"{slug} is registered, but could not be read: {failure}. `ostiary server refresh {slug}` tries again, "
            f"`ostiary server retire {slug}` takes it back"
        )
