"""`ostiary idp`: the identity providers that people sign in with."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.idp.add import idp_add
from gateway.cli.idp.text import described, details, mapping_row, provider_row
from gateway.cli.output import plain, say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from authz.tables import Provider
    from gateway.office import Office
    from idp_adapters.contract import Finding

the_provider = click.argument("slug")


@click.group(cls=Family)
def idp() -> None:
    """Identity providers: OpenID Connect, SAML, LDAP, Entra ID."""


idp.add_command(idp_add)


@idp.command("list")
@as_json
@with_office
def idp_list(office: Office, *, as_json: bool) -> None:
    """Every provider."""
    from sqlmodel import select

    from authz.tables import Provider

    with office.database.read() as session:
        rows = [provider_row(row) for row in session.exec(select(Provider).order_by(Provider.slug))]
    empty = "no identity provider yet; `ostiary idp add` adds one"
    show(rows, as_json=as_json, text=lambda: table(rows, "slug kind title domains state declared", empty))


@idp.command("show")
@the_provider
@as_json
@with_office
def idp_show(office: Office, slug: str, *, as_json: bool) -> None:
    """One provider: how it is configured, and the addresses to register there."""
    found = details(office, slug)
    show(found, as_json=as_json, text=lambda: described(found))


@idp.command("test")
@the_provider
@as_json
@with_office
def idp_test(office: Office, slug: str, *, as_json: bool) -> None:
    """Walk the connection step by step, and say what is wrong."""
    from authz.people.providers import find
    from gateway.identity.checking import walk
    from gateway.identity.providers import Providers

    with office.database.read() as session:
        row = find(session, slug)
    findings = list(walk(office, Providers(office), row))
    facts = [{"step": found.step, "ok": found.ok, "words": found.words} for found in findings]
    show(facts, as_json=as_json, text=lambda: "\n".join(map(_finding, findings)))
    if not all(found.ok for found in findings):
        raise SystemExit(1)


@idp.command("remove")
@the_provider
@as_json
@with_office
def idp_remove(office: Office, slug: str, *, as_json: bool) -> None:
    """Forget a provider, its secrets and mappings; what its people had ends."""
    from authz.people.providers import remove
    from gateway.identity.equipment import owner_of

    with _changing(office, "idp.removed", slug) as (session, row, facts):
        facts["people"] = remove(session, row, time.time())
        office.vault.forget(session, owner_of(slug))
    say(f"{slug} is removed; {facts['people']} people are signed out", {"slug": slug, **facts}, as_json=as_json)


@idp.command("disable")
@the_provider
@as_json
@with_office
def idp_disable(office: Office, slug: str, *, as_json: bool) -> None:
    """Let nobody sign in there; what its people have ends, until it is enabled and they sign in again."""
    from authz.people.providers import disable

    with _changing(office, "idp.disabled", slug) as (session, row, facts):
        facts["people"] = disable(session, row, time.time())
    say(f"{slug} is disabled; {facts['people']} people are signed out", {"slug": slug, **facts}, as_json=as_json)


@idp.command("enable")
@the_provider
@as_json
@with_office
def idp_enable(office: Office, slug: str, *, as_json: bool) -> None:
    """Let people sign in there again."""
    from authz.people.providers import enable

    with _changing(office, "idp.enabled", slug) as (session, row, _):
        enable(session, row)
    say(f"{slug} is enabled", {"slug": slug, "state": "enabled"}, as_json=as_json)


@idp.command("secret")
@the_provider
@click.argument("purpose")
@click.option("--file", type=click.Path(dir_okay=False), help="file (0600) with the secret")
@click.option("--env", metavar="NAME", help="environment variable with the secret")
@as_json
@with_office
def idp_secret(office: Office, slug: str, purpose: str, file: str | None, env: str | None, *, as_json: bool) -> None:
    """Replace a secret; read from --file, --env or standard input."""
    from authz.people.providers import changeable
    from gateway.cli.secret import chosen
    from gateway.identity.equipment import owner_of
    from idp_adapters.config import KINDS

    with office.database.read() as session:
        known = KINDS[changeable(session, slug).kind].secrets
    if purpose not in known:
        raise click.ClickException(f"{slug} has no secret {purpose!r}; it may have {', '.join(known) or 'none'}")
    secret = chosen(file, env, purpose)
    with _changing(office, "idp.secret", slug) as (session, _, facts):
        facts["purpose"] = purpose
        office.vault.seal(session, owner_of(slug), purpose, secret)
    say(f"the {purpose} of {slug} is replaced", {"slug": slug, "purpose": purpose}, as_json=as_json)


@idp.command("map")
@the_provider
@click.argument("claim")
@click.argument("value")
@click.argument("group")
@as_json
@with_office
def idp_map(office: Office, slug: str, claim: str, value: str, group: str, *, as_json: bool) -> None:
    """From their next sign-in on, whoever has VALUE among CLAIM is in GROUP.

    CLAIM is `groups`, or one that the provider is configured to carry. Whoever is mapped to the group ostiary-admins is
    an administrator for as long as the mapped group holds.
    """
    from authz.people.providers import add_mapping

    with _changing(office, "idp.mapped", slug) as (session, _, facts):
        facts |= {"claim": claim, "value": value, "group": f"group:{group}"}
        add_mapping(session, slug, claim, value, group)
    say(f"{claim} {plain(value)} of {slug} is group:{group}", {"slug": slug, **facts}, as_json=as_json)


@idp.command("unmap")
@the_provider
@click.argument("claim")
@click.argument("value")
@click.argument("group")
@as_json
@with_office
def idp_unmap(office: Office, slug: str, claim: str, value: str, group: str, *, as_json: bool) -> None:
    """Take a mapping away; whoever it put into GROUP leaves it at once."""
    from authz.people.providers import remove_mapping

    with _changing(office, "idp.unmapped", slug) as (session, _, facts):
        facts |= {"claim": claim, "value": value, "group": f"group:{group}"}
        remove_mapping(session, slug, claim, value, group)
    say(f"{claim} {plain(value)} of {slug} means nothing any more", {"slug": slug, **facts}, as_json=as_json)


@idp.command("mappings")
@the_provider
@as_json
@with_office
def idp_mappings(office: Office, slug: str, *, as_json: bool) -> None:
    """Which of our groups the provider's claims lead to."""
    from authz.people.providers import find, mappings

    with office.database.read() as session:
        rows = [mapping_row(row) for row in mappings(session, find(session, slug).slug)]
    empty = f"none yet; `ostiary idp map {slug} groups VALUE GROUP` adds one"
    show(rows, as_json=as_json, text=lambda: table(rows, "claim value group", empty))


@contextmanager
def _changing(office: Office, event: str, slug: str) -> Iterator[tuple[Session, Provider, dict[str, Any]]]:
    """Of a provider that may be changed here; people may end by it."""
    from authz.people.providers import changeable

    concerns = (Concern.PEOPLE, Concern.CUTOFFS)
    with office.change(event, *concerns, who=operator(), provider=slug) as (session, facts):
        yield session, changeable(session, slug), facts


def _finding(found: Finding) -> str:
    mark = "ok  " if found.ok else "FAIL"
    return f"{mark} {plain(found.step)}" + (f": {plain(found.words)}" if found.words else "")
