"""`ostiary server add|refresh`: commands that ask a server what it offers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, with_office
from gateway.cli.secret import from_options
from gateway.cli.server.allow import words_in
from gateway.cli.server.auth import auth_options, secrets_of, settings_of
from gateway.cli.server.authority import named, proposed
from gateway.cli.server.help import ModesCommand
from gateway.cli.server.openapi import As, address_of, begin_api, choice_of, described, openapi_options, redescribe
from gateway.cli.server.show import show_review, the_server
from gateway.cli.server.tls import parts_of, tls_options
from gateway.office import operator
from registry.database import Concern
from registry.servers import ASKABLE, DEFAULT_ALLOWED, Proposal, propose
from registry.tables import Auth, Server, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.fetch import Fetcher, Own
    from gateway.office import Office
    from registry.catalogue import Credential, Upstream
    from registry.openapi.kept import Api


@click.command("add", cls=ModesCommand)
@the_server
@click.argument("url", required=False)
@openapi_options
@click.option("--title", default="", help="how people read it; without it the slug")
@click.option("--owner", default="", help="who answers for it")
@click.option("--auth", type=click.Choice([str(auth) for auth in Auth]), default="none", help="how it knows us")
@click.option(
    "--transport", type=click.Choice(["http", "sse"]), help="sse is HTTP+SSE of 2024-11-05; found out if it is not said"
)
@click.option(
    "--allow",
    default=",".join(DEFAULT_ALLOWED),
    help=f"what it may ask of callers: {', '.join(ASKABLE)}, or none",
)
@click.option("--allow-address", is_flag=True, help="admit this scheme, host and port although the rules refuse it")
@auth_options
@tls_options
@as_json
@with_office
def server_add(office: Office, slug: str, url: str | None, *, as_json: bool, **given: Any) -> None:
    """Register the server SLUG at URL and look at all it offers. With --openapi it is an HTTP API, and URL is where its
    paths begin; without URL that is where the description says.

    A secret is read from a file, from the environment, or for --auth static from standard input; never from an option.
    """
    auth = Auth(given["auth"])
    api = _api(office, slug, url, auth, given) if given["openapi"] else None
    url = url if api is None else address_of(office, api, allow=given["allow_address"])
    if not url:
        raise click.UsageError("say where the server is: ostiary server add SLUG URL")
    transport = Transport.OPENAPI if api else Transport(given["transport"] or Transport.HTTP)
    server = Server(slug=slug, url=url, transport=transport)
    _register(office, _proposed(office, server, api, given), api, given)
    _look(office, slug, first=given["transport"] is None)
    show_review(office, slug, as_json=as_json)


def _proposed(office: Office, server: Server, api: Api | None, given: Mapping[str, Any]) -> Proposal:
    """With its secrets, and what its description and its authorization server say of how it knows us."""
    auth = Auth(given["auth"])
    settings = _settled(office, server, auth, _agreed(api, auth, given), given)
    return Proposal(
        slug=server.slug,
        url=server.url,
        title=given["title"],
        owner=given["owner"],
        auth=auth,
        auth_settings=settings,
        secrets=secrets_of(auth, {**given, **settings}),
        allowed=words_in(given["allow"]),
        transport=Transport(server.transport),
        allow_address=given["allow_address"],
    )


def _register(office: Office, proposal: Proposal, api: Api | None, given: Mapping[str, Any]) -> None:
    """All of it, or nothing."""
    from gateway.credentials.derived.fitting import check_named
    from registry.credentials.modes import read_auth
    from registry.credentials.tls import set_tls
    from registry.observing import screen_ahead

    slug, settings = proposal.slug, office.settings
    ahead = None if api is None else screen_ahead(office.database, slug, api.seen)
    facts = {"server": slug, "url": proposal.url, "auth": str(proposal.auth), "allow_address": proposal.allow_address}
    with office.change("server.added", Concern.CATALOGUE, who=operator(), **facts) as (session, told):
        added = propose(session, proposal, who=operator(), exceptions=settings.allow_addresses, vault=office.vault)
        known = read_auth(added.auth, added.auth_settings)
        check_named(session, settings.workload_tokens, known)
        told.update({"authority": known.authority} if known.authority else {})
        if any(parts_of(given).values()):
            set_tls(session, added, **parts_of(given), vault=office.vault)
        if api is not None and ahead is not None:
            told.update(begin_api(session, slug, api, ahead))


@click.command("refresh")
@the_server
@openapi_options
@as_json
@with_office
def server_refresh(office: Office, slug: str, *, as_json: bool, **given: Any) -> None:
    """Ask the server again what it offers; whatever changed is hidden until it is approved.

    Of an HTTP API the description is read again, from a new file or address with --openapi; with --operation, --tag or
    --read-only something else is chosen of it.
    """
    redescribe(office, slug, given)
    _look(office, slug)
    show_review(office, slug, as_json=as_json)


def _api(office: Office, slug: str, url: str | None, auth: Auth, given: Mapping[str, Any]) -> Api:
    how = As(_own(url, given), _early(slug, url, auth, given))
    allow = given["allow_address"]
    return described(office, given["openapi"], choice_of(given), url or "", allow=allow, how=how)


def _own(url: str | None, given: Mapping[str, Any]) -> Own:
    from gateway.credentials.own_tls import of_parts

    return of_parts(url, parts_of(given)) if url else {}


def _agreed(api: Api | None, auth: Auth, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was given, and what a description says besides, where somebody agrees to that."""
    settings = settings_of(given)
    return settings if api is None or from_options("header", given) else proposed(api, auth, settings)


def _early(slug: str, url: str | None, auth: Auth, given: Mapping[str, Any]) -> Credential | None:
    """What everybody shares, where an option says it: a description of the same origin may want it (T-49)."""
    from registry.credentials.modes import read_auth
    from registry.credentials.modes.static import StaticSettings
    from registry.credentials.placing import placed

    settings = read_auth(auth, settings_of(given)) if auth is Auth.STATIC and url else None
    if not url or not isinstance(settings, StaticSettings) or settings.personal:
        return None
    value = from_options(settings.purpose, given)
    return placed(settings, value).credential(slug, url) if value else None


def _settled(
    office: Office, server: Server, auth: Auth, settings: dict[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """With whom an app's secret is for, also where nobody has said it yet."""
    from gateway.fetch import Fetcher
    from registry.addresses import exception_line
    from registry.catalogue.assembling import upstream_of
    from registry.servers import exception_lines

    def reach() -> tuple[Fetcher, Upstream]:
        home = exception_line(server.url)
        with office.database.read() as session:  # what was excepted for another is not for what this one names (T-44)
            own = home in exception_lines(session) or given["allow_address"]
        lines = [*office.settings.allow_addresses, *([home] if own else [])]
        return Fetcher(lines, own=_own(server.url, given)), upstream_of(server, lines)

    return named(reach, auth, settings)


def _look(office: Office, slug: str, *, first: bool = False) -> None:
    """Asks the server, on a loop of our own, and stores what it says; a failure is one sentence and exit code 1."""
    from gateway.cli.server.accounts import accounts_text
    from gateway.cli.server.trust import trust_text
    from gateway.upstream.refreshing.once import read_first, refresh_once
    from registry.servers import find

    asyncio.run((read_first if first else refresh_once)(office, slug, who=operator()))
    with office.database.read() as session:
        server = find(session, slug)
    if server.failure:
        for told in filter(None, (accounts_text(office, server), trust_text(office, server))):
            click.echo(told)  # what it lacks may be just that
        again = f"`ostiary server refresh {slug}` tries again"
        if server.approved_at is None:
            what, again = (
                "is registered, but could not be read",
                f"{again}, `ostiary server retire {slug}` takes it back",
            )
        else:  # to retire it would be for good
            what = "could not be read"
        raise click.ClickException(f"{slug} {what}: {server.failure}. {again}")
