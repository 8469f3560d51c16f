"""`ostiary scim`: tokens with which a provider keeps its people and groups here by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from authz.people.provisioning import DAYS, MOST_DAYS
from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import day, say, table
from gateway.office import operator

if TYPE_CHECKING:
    from gateway.office import Office


@click.group(cls=Family)
def scim() -> None:
    """Provisioning: a provider keeps its people here by itself.

    By SCIM 2.0, users and groups; docs/identity.md says what to tell the provider.
    """


@scim.command("token")
@click.argument("provider")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=DAYS, show_default=True)
@as_json
@with_office
def scim_token(office: Office, provider: str, days: int, *, as_json: bool) -> None:
    """Make a token for PROVIDER's SCIM client. Printed once, alone on the last line."""
    from authz.people.providers import find
    from authz.people.provisioning import make_token

    with office.change("scim.token.created", who=operator(), provider=provider, days=days) as (session, facts):
        row, secret = make_token(session, find(session, provider), days, time.time())
        facts["token_id"] = row.id
    url = f"{office.settings.base_url}/scim/v2"
    value = {"id": row.id, "provider": provider, "url": url, "expires_at": row.expires_at}
    text = f"{row.id}, for {days} days\nTell {provider}'s SCIM client this address: {url}"
    say(text, value, secret, kind="token", as_json=as_json)


@scim.command("list")
@as_json
@with_office
def scim_list(office: Office, *, as_json: bool) -> None:
    """The tokens that work, and how many people and groups each provider keeps here."""
    from sqlmodel import col, select

    from authz.tables import ScimResource, ScimToken

    with office.database.read() as session:
        alive = select(ScimToken).where(col(ScimToken.ended_at).is_(None), ScimToken.expires_at > time.time())
        rows = [_row(row) for row in session.exec(alive.order_by(col(ScimToken.created_at)))]
        for row in rows:
            kinds = session.exec(select(ScimResource.kind).where(ScimResource.provider == row["provider"])).all()
            row |= {"users": kinds.count("User"), "groups": kinds.count("Group")}
    show(rows, as_json=as_json, text=lambda: table(rows, "id provider expires users groups", "no SCIM token"))


@scim.command("end")
@click.argument("id_", metavar="ID")
@as_json
@with_office
def scim_end(office: Office, id_: str, *, as_json: bool) -> None:
    """End a token. Whom it brought stays."""
    from authz.people.revoking import end_scim

    with office.change("scim.token.ended", who=operator(), token_id=id_) as (session, facts):
        facts["provider"] = end_scim(session, id_, time.time()).provider
    say(f"{id_} is ended", {"id": id_}, as_json=as_json)


def _row(row: Any) -> dict[str, Any]:
    return {"id": row.id, "provider": row.provider, "expires": day(row.expires_at)}
