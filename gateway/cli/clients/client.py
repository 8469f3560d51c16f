"""`ostiary client`: OAuth clients that an administrator registers, and agents."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.clients import reach as client_reach
from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.keys import read_jwks
from gateway.cli.output import say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.clients.enrolling import Keys
    from authz.tables import Client
    from gateway.office import Office


DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@click.group(cls=Family)
def client() -> None:
    """OAuth clients that an administrator registers, and agents."""


client.add_command(client_reach.exchange)
client.add_command(client_reach.scope)


@client.command("add")
@click.argument("name")
@click.option("--redirect-uri", "redirect_uris", multiple=True, help="where people come back to; may be repeated")
@click.option("--confidential", is_flag=True, help="runs on a server that can keep a secret")
@click.option("--agent", is_flag=True, help="acts for itself, as agent:NAME, with a secret")
@click.option("--group", "groups", multiple=True, help="for an agent: a group to join")
@click.option("--device", is_flag=True, help="asks people by way of a code (RFC 8628); needs no redirect URI")
@click.option("--identity-assertions", is_flag=True, help="may present ID-JAGs of trusted issuers")
@click.option("--keys", "keys_file", metavar="FILE", help="its public JWK set: it signs instead of having a secret")
@click.option("--keys-url", metavar="URL", help="or where its JWK set is")
@as_json
@with_office
def client_add(
    office: Office,
    name: str,
    redirect_uris: Sequence[str],
    groups: Sequence[str],
    keys_file: str | None,
    keys_url: str | None,
    *,
    confidential: bool,
    agent: bool,
    device: bool,
    identity_assertions: bool,
    as_json: bool,
) -> None:
    """Register a client for people, or an agent. A secret is printed once, alone on the last line."""
    from authz.clients.enrolling import add_agent, add_client
    from authz.people.accounts import join

    keys = public_keys(keys_file, keys_url)
    also = [grant for grant, wanted in ((DEVICE, device), (JWT_BEARER, identity_assertions)) if wanted]
    if (agent and (redirect_uris or confidential or also)) or (groups and not agent):
        raise click.UsageError("an agent has groups; a client for people has redirect URIs. Choose one of the two")
    with office.change("client.added", Concern.PEOPLE, who=operator(), agent=agent, name=name) as (session, facts):
        if agent:
            added, secret = add_agent(session, name, keys=keys)
        else:
            added, secret = add_client(session, name, redirect_uris, confidential=confidential, keys=keys, also=also)
        for joined in groups:
            join(session, joined, added.id)
        facts["client"] = added.id
    text = f"agent:{name} is added\nclient id {added.id}" if agent else f"client id {added.id}"
    say(text, {"client_id": added.id, "name": name}, secret, kind="secret", as_json=as_json)


def public_keys(file: str | None, url: str | None) -> Keys | None:
    """The public JWK set that options name."""
    from authz.clients.enrolling import Keys

    if file is not None and url is not None:
        raise click.UsageError("give the keys or where they are, not both")
    if file is not None:
        return Keys(jwks=read_jwks(Path(file)))
    return None if url is None else Keys(uri=url)


@client.command("list")
@as_json
@with_office
def client_list(office: Office, *, as_json: bool) -> None:
    """Every client that is known, also those that registered themselves."""
    from sqlmodel import col, select

    from authz.tables import Client

    with office.database.read() as session:
        rows = [_client_row(row) for row in session.exec(select(Client).order_by(col(Client.created_at)))]
    show(rows, as_json=as_json, text=lambda: table(rows, "client origin name redirect_uris state", "no client yet"))


@client.command("secret")
@click.argument("client_id", metavar="CLIENT_ID|AGENT")
@as_json
@with_office
def client_secret(office: Office, client_id: str, *, as_json: bool) -> None:
    """Give a client or an agent a new secret; the old one works no longer. Printed once, alone on the last line."""
    from authz.clients.enrolling import find_any, renew_secret

    with office.change("client.secret", Concern.PEOPLE, who=operator(), client=client_id) as (session, facts):
        found = find_any(session, client_id)
        secret = renew_secret(session, found)
        facts["client"] = found.id
    say(f"{client_id} has a new secret", {"client_id": found.id}, secret, kind="secret", as_json=as_json)


@client.command("disable")
@click.argument("client_id", metavar="CLIENT_ID|AGENT")
@as_json
@with_office
def client_disable(office: Office, client_id: str, *, as_json: bool) -> None:
    """End everything a client or an agent holds, and let it do nothing more."""
    from authz.clients.agents import disable_client
    from authz.clients.enrolling import find_any

    with office.change("client.disabled", Concern.PEOPLE, Concern.CUTOFFS, who=operator(), client=client_id) as (
        session,
        facts,
    ):
        found = find_any(session, client_id)
        disable_client(session, found, time.time())
        facts["client"] = found.id
    say(f"{client_id} is disabled", {"client_id": found.id, "state": "disabled"}, as_json=as_json)


@client.command("enable")
@click.argument("client_id", metavar="CLIENT_ID|AGENT")
@as_json
@with_office
def client_enable(office: Office, client_id: str, *, as_json: bool) -> None:
    """Let a client in again; what was issued to it before stays ended."""
    from authz.clients.enrolling import find_any

    with office.change("client.enabled", Concern.PEOPLE, who=operator(), client=client_id) as (session, facts):
        found = find_any(session, client_id)
        found.disabled_at = None
        facts["client"] = found.id
    say(f"{client_id} is enabled", {"client_id": found.id, "state": "enabled"}, as_json=as_json)


def _client_row(client: Client) -> dict[str, Any]:
    return {
        "client": client.id,
        "origin": client.origin,
        "name": client.label,
        "redirect_uris": client.redirect_uris,
        "state": "enabled" if client.disabled_at is None else "disabled",
    }
