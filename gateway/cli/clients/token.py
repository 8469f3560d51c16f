"""`ostiary token`: tokens for operators and scripts, and the keys that sign them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from authz.tokens.claims import LONGEST_LIFE
from authz.tokens.minting import OPERATOR_CLIENT
from authz.tokens.personal import DAYS, MOST_DAYS
from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import day, say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from authz.tables import Person, PersonalToken
    from authz.tokens.minting import Minted
    from gateway.office import Office


@click.group(cls=Family)
def token() -> None:
    """Tokens for operators and scripts, and the keys that sign them."""


@token.command("issue")
@click.option("--user", "handle", required=True, help="whose token: a person's name, or agent:NAME")
@click.option("--resource", help="the URL it is for; the default portal if not given")
@click.option("--ttl", type=click.IntRange(1, LONGEST_LIFE), default=LONGEST_LIFE, show_default=True, help="seconds")
@click.option("--scope", default="mcp", show_default=True, help="mcp, or server.* and server.tool, up to 32")
@as_json
@with_office
def token_issue(office: Office, handle: str, resource: str | None, ttl: int, scope: str, *, as_json: bool) -> None:
    """Print an access token, alone on the last line. It is on record with your name."""
    if not office.settings.operator_tokens:
        raise click.ClickException("tokens from the command line are switched off (operator_tokens)")
    minted, target = _issue(office, handle, _target(office, resource), ttl, scope)
    value = {"resource": target, "expires_at": minted.expires_at, "token": minted.token}
    text = f"For {handle} at {target}, for {ttl} seconds:\n{minted.token}"
    show(value, as_json=as_json, text=lambda: text)


@token.command("create")
@click.option("--user", "handle", required=True, help="whose token")
@click.option("--name", required=True, help="what it is for, so that somebody knows later")
@click.option("--resource", help="the URL it is for; the default portal if not given")
@click.option("--scope", default="mcp", show_default=True, help="mcp, or server.* and server.tool, up to 32")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=DAYS, show_default=True)
@as_json
@with_office
def token_create(
    office: Office, handle: str, name: str, resource: str | None, scope: str, days: int, *, as_json: bool
) -> None:
    """Make a personal token, for a client that cannot do OAuth. Printed once, alone on the last line."""
    from authz.people.accounts import find_person
    from authz.tokens.personal import make

    if not office.settings.personal_tokens:
        raise click.ClickException("personal tokens are switched off (personal_tokens)")
    target = _target(office, resource)
    facts = {"name": name, "resource": target, "scope": scope, "days": days}
    with office.change("personal.created", Concern.PERSONAL, who=operator(), **facts) as (session, record):
        person = find_person(session, handle)
        row, secret = make(session, person.id, name, scope=scope, resource=target, days=days, now=time.time())
        record |= {"person": person.label, "token_id": row.id}
        value = {"id": row.id, "resource": target, "scope": row.scope, "expires_at": row.expires_at}
    say(f"{row.id} is for {handle} at {target}, for {days} days", value, secret, kind="token", as_json=as_json)


@token.command("list")
@click.option("--user", "handle", help="only those of one person")
@as_json
@with_office
def token_list(office: Office, handle: str | None, *, as_json: bool) -> None:
    """The personal tokens that work, with when each was last used."""
    from sqlmodel import select

    from authz.people.accounts import find_person
    from authz.tables import Person
    from authz.tokens.personal import alive

    with office.database.read() as session:
        people = [find_person(session, handle)] if handle else session.exec(select(Person)).all()
        rows = [_personal_row(row, person) for person in people for row in alive(session, person.id, time.time())]
    columns = "id person name scope resource expires last_used"
    show(rows, as_json=as_json, text=lambda: table(rows, columns, "no personal token"))


@token.command("end")
@click.argument("id_", metavar="ID")
@as_json
@with_office
def token_end(office: Office, id_: str, *, as_json: bool) -> None:
    """End a personal token, and what it has open."""
    from authz.tokens.personal import end, find

    with office.change("personal.ended", Concern.PERSONAL, Concern.CUTOFFS, who=operator(), token_id=id_) as (
        session,
        _,
    ):
        end(session, find(session, id_), time.time())
    say(f"{id_} is ended", {"id": id_}, as_json=as_json)


def _personal_row(row: PersonalToken, person: Person) -> dict[str, Any]:
    return {
        "id": row.id,
        "person": person.handle,
        "name": row.name,
        "scope": row.scope,
        "resource": row.resource,
        "expires": day(row.expires_at),
        "last_used": day(row.last_used_at),
    }


@token.command("rotate-keys")
@click.option("--now", "at_once", is_flag=True, help="the old key may be known to others: refuse what it signed")
@as_json
@with_office
def rotate_keys(office: Office, *, at_once: bool, as_json: bool) -> None:
    """Make a new signing key; it takes over in ten minutes, and what the old one signed lives on."""
    from authz.tokens.keys import rotate

    with office.change("key.rotated", Concern.KEYS, who=operator(), at_once=at_once) as (session, facts):
        kid = facts["kid"] = rotate(session, office.vault, at_once=at_once)
    when = "signs now; every older token is refused" if at_once else "signs in ten minutes"
    show({"kid": kid, "at_once": at_once}, as_json=as_json, text=lambda: f"The new key {kid} {when}.")


def _target(office: Office, resource: str | None) -> str:
    from gateway.oauth.resources import is_mount_path
    from registry.catalogue import PORTAL_PATH

    base = office.settings.base_url
    target = (resource or base + PORTAL_PATH).rstrip("/")
    if not target.startswith(base + "/") or not is_mount_path(target.removeprefix(base)):
        raise click.ClickException(f"--resource must be a portal's or a mount's URL, for instance {base}{PORTAL_PATH}")
    return target


def _issue(office: Office, handle: str, target: str, ttl: int, scope: str) -> tuple[Minted, str]:
    from authz.errors import AccountRefused
    from authz.people.accounts import load_members, member_id
    from authz.scopes import parse_scope, write_scope
    from authz.tokens.keys import load_keys
    from authz.tokens.minting import Minting, mint

    narrowed = write_scope(parse_scope(scope))
    facts = {"client": OPERATOR_CLIENT, "resource": target, "scope": narrowed, "grant": "operator"}
    with office.change("token.issued", who=operator(), **facts) as (session, record):
        member = load_members(session).get(member_id(session, handle))
        if member is None:
            raise AccountRefused(f"{handle} is disabled; `ostiary user enable {handle}` lets them in again")
        ask = Minting(
            issuer=office.settings.base_url, subject=member.id, client=OPERATOR_CLIENT, resource=target,
            scope=narrowed, life=ttl, act=(operator(),),
        )  # fmt: skip
        minted = mint(load_keys(session, office.vault), ask)
        record |= {"person": member.label, "jti": minted.jti, "expires_at": minted.expires_at}
    return minted, target
