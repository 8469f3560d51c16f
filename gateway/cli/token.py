"""`ostiary token`: tokens for operators and scripts, and the keys that sign them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from authz.tokens import LONGEST_LIFE, OPERATOR_CLIENT
from gateway.cli.common import as_json, show, with_office
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from authz.tokens import Minted
    from gateway.office import Office


@click.group()
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


@token.command("rotate-keys")
@click.option("--now", "at_once", is_flag=True, help="the old key may be known to others: refuse what it signed")
@as_json
@with_office
def rotate_keys(office: Office, *, at_once: bool, as_json: bool) -> None:
    """Make a new signing key; it takes over in ten minutes, and what the old one signed lives on."""
    from authz.keys import rotate

    with office.change("key.rotated", Concern.KEYS, who=operator(), at_once=at_once) as (session, facts):
        kid = facts["kid"] = rotate(session, office.vault, at_once=at_once)
    when = "signs now; every older token is refused" if at_once else "signs in ten minutes"
    show({"kid": kid, "at_once": at_once}, as_json=as_json, text=lambda: f"The new key {kid} {when}.")


def _target(office: Office, resource: str | None) -> str:
    from gateway.oauth.resources import is_mount_path
    from registry.catalog import PORTAL_PATH

    base = office.settings.base_url
    target = (resource or base + PORTAL_PATH).rstrip("/")
    if not target.startswith(base + "/") or not is_mount_path(target.removeprefix(base)):
        raise click.ClickException(f"--resource must be a portal's or a mount's URL, for instance {base}{PORTAL_PATH}")
    return target


def _issue(office: Office, handle: str, target: str, ttl: int, scope: str) -> tuple[Minted, str]:
    from authz.accounts import load_members, member_id
    from authz.errors import AccountRefused
    from authz.keys import load_keys
    from authz.scopes import parse_scope, write_scope
    from authz.tokens import Minting, mint

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
