"""How far a client reaches: what it may exchange, and what its tokens may cover at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, with_office
from gateway.cli.output import say
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.office import Office


@click.command("exchange")
@click.argument("client_id", metavar="CLIENT_ID|AGENT")
@click.option(
    "--external-id",
    "external_ids",
    multiple=True,
    metavar="ID",
    help="what an identity provider calls it: it may exchange ID tokens that were issued to it there; repeatable",
)
@click.option("--off", is_flag=True, help="let it exchange nothing any more")
@as_json
@with_office
def exchange(office: Office, client_id: str, external_ids: Sequence[str], *, off: bool, as_json: bool) -> None:
    """Let a client exchange tokens (RFC 8693); the ids given now take the place of those before. Agents may anyway."""
    from authz.clients.enrolling import find_any, let_exchange

    if off and external_ids:
        raise click.UsageError("--off takes no --external-id")
    ids = list(dict.fromkeys(external_ids))
    facts = {"client": client_id, "allowed": not off, "external_client_ids": ids}
    with office.change("client.exchange", Concern.PEOPLE, who=operator(), **facts) as (session, record):
        found = find_any(session, client_id)
        let_exchange(session, found, ids, allowed=not off)
        record["client"] = found.id
    words = f"{client_id} exchanges nothing any more" if off else f"{client_id} may exchange tokens"
    value = {"client_id": found.id, "exchange": not off, "external_client_ids": ids}
    say(words + (f", and ID tokens for {', '.join(ids)}" if ids else ""), value, as_json=as_json)


@click.command("scope")
@click.argument("client_id", metavar="CLIENT_ID|AGENT")
@click.argument("scope")
@as_json
@with_office
def scope(office: Office, client_id: str, scope: str, *, as_json: bool) -> None:
    """Set what new tokens of a client may cover at most: server.tool and server.*, or mcp for no limit."""
    from authz.clients.enrolling import find_any
    from authz.scopes import ALL, parse_scope, write_scope

    limit = write_scope(parse_scope(scope))
    with office.change("client.scope", Concern.PEOPLE, who=operator(), client=client_id, scope=limit) as (
        session,
        record,
    ):
        found = find_any(session, client_id)
        found.scope = "" if limit == ALL else limit
        record["client"] = found.id
    say(f"{client_id} reaches as far as: {limit}", {"client_id": found.id, "scope": limit}, as_json=as_json)
