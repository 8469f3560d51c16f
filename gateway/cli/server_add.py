"""`ostiary server add|refresh|credential`: commands that ask a server, or settle how it is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, with_office
from gateway.cli.server_show import show_review, show_step, the_server
from gateway.office import operator
from registry.database import Concern
from registry.tables import Auth

if TYPE_CHECKING:
    from gateway.office import Office


@click.command("add")
@the_server
@click.argument("url")
@click.option("--title", default="", help="how people read it; without it the slug")
@click.option("--owner", default="", help="who answers for it")
@click.option("--auth", type=click.Choice([str(auth) for auth in Auth]), default="none", help="how it knows us")
@click.option(
    "--secret-file", type=click.Path(dir_okay=False), help="file (0600) with the header line of --auth static"
)
@click.option("--secret-env", metavar="NAME", help="environment variable with the header line of --auth static")
@click.option("--allow-address", is_flag=True, help="admit this scheme, host and port although the rules refuse it")
@as_json
@with_office
def server_add(
    office: Office,
    slug: str,
    url: str,
    title: str,
    owner: str,
    auth: str,
    secret_file: str | None,
    secret_env: str | None,
    *,
    allow_address: bool,
    as_json: bool,
) -> None:
    """Register the server SLUG at URL and look at all it offers.

    With --auth static, its header line (`Name: value`) is read from --secret-file, --secret-env or standard input.
    """
    from gateway.cli.secret import header_line
    from registry.servers import Proposal, propose

    header = header_line(secret_file, secret_env) if auth == Auth.STATIC else b""
    proposal = Proposal(
        slug=slug, url=url, title=title, owner=owner, auth=Auth(auth), header=header, allow_address=allow_address
    )
    facts = {"server": slug, "url": url, "auth": auth, "allow_address": allow_address}
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


@click.command("credential")
@the_server
@click.option("--secret-file", type=click.Path(dir_okay=False), help="file (0600) with the header line")
@click.option("--secret-env", metavar="NAME", help="environment variable with the header line")
@as_json
@with_office
def server_credential(
    office: Office, slug: str, secret_file: str | None, secret_env: str | None, *, as_json: bool
) -> None:
    """Replace the header line that we authenticate with; read from standard input unless an option says otherwise."""
    from gateway.cli.secret import header_line
    from registry.servers import find, set_header

    line = header_line(secret_file, secret_env)
    with office.change("server.credential", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = find(session, slug)
        done.auth = Auth.STATIC
        session.add(done)
        set_header(session, done, line, office.vault)
    show_step(done, f"{slug} is from now on asked with the new credential", as_json=as_json)


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
