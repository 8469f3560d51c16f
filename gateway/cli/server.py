"""`ostiary server`: register MCP servers, review what they offer, approve it."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.office import operator
from registry.database import Concern
from registry.tables import Auth

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.office import Office
    from registry.reviewing import Review
    from registry.tables import Server

the_server = click.argument("slug")


@click.group()
def server() -> None:
    """MCP servers: register, review, approve. Nothing of a server is usable until it is approved."""


@server.command("add")
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
    _show_review(office, slug, as_json=as_json)


@server.command("list")
@click.option("--retired", is_flag=True, help="also those that were retired")
@as_json
@with_office
def server_list(office: Office, *, retired: bool, as_json: bool) -> None:
    """Every server, its state, and what awaits review."""
    from gateway.cli.server_text import row_of, rows_text
    from registry.reviewing import review
    from registry.servers import all_servers

    with office.database.read() as session:
        found = [review(session, one.slug) for one in all_servers(session, retired=retired)]
    rows = [row_of(one) for one in found]
    show(rows, as_json=as_json, text=lambda: rows_text(rows))


@server.command("show")
@the_server
@click.option("--full", is_flag=True, help="every definition in full, escaped")
@as_json
@with_office
def server_show(office: Office, slug: str, *, full: bool, as_json: bool) -> None:
    """What the server offers, how each definition stands, what screening found, and how to approve it."""
    _show_review(office, slug, full=full, as_json=as_json)


@server.command("diff")
@the_server
@as_json
@with_office
def server_diff(office: Office, slug: str, *, as_json: bool) -> None:
    """What changed since the last approval, field by field."""
    from gateway.cli.server_text import diff_of, diff_text

    found = _review(office, slug)
    show(diff_of(found), as_json=as_json, text=lambda: diff_text(found))


@server.command("approve")
@the_server
@click.option("--shown", metavar="WORD", help="approve only if it is still what `show` showed; the word it ended with")
@click.option("--only", multiple=True, metavar="NAME", help="just this definition; may be given more than once")
@click.option("--accept-findings", is_flag=True, help="also what screening flagged: the second, knowing approval")
@click.option("--yes", is_flag=True, help="do not ask")
@as_json
@with_office
def server_approve(
    office: Office,
    slug: str,
    shown: str | None,
    only: tuple[str, ...],
    *,
    accept_findings: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Approve the server and what it offers as it is now: from then on policy decides who may use it."""
    from authz.accounts import admins
    from registry.reviewing import Approver, approve

    found = _review(office, slug)
    digests = _to_approve(found, only, accept_findings=accept_findings)
    _agree(found, len(digests), shown, yes=yes)
    with office.change("server.approved", Concern.CATALOGUE, who=operator(), server=slug) as (session, facts):
        by = Approver(name=operator(), signed_in=False, admins=admins(session))
        done = approve(session, slug, digests, by=by, accept_findings=accept_findings)
        facts.update(definitions=[*done.approved], digests=sorted(digests.values()), findings_accepted=accept_findings)
    if done.remark:
        click.echo(f"note: {done.remark}", err=True)
    value = {
        "server": slug,
        "state": done.server.state,
        "approved": [*done.approved],
        "left": [item.name for item in _review(office, slug).awaiting],
    }
    show(value, as_json=as_json, text=lambda: _approved_text(slug, value))


@server.command("suspend")
@the_server
@click.option("--because", default="", help="the reason, for the record and for its people")
@as_json
@with_office
def server_suspend(office: Office, slug: str, because: str, *, as_json: bool) -> None:
    """Take the server away from everybody at once, until it is resumed."""
    from registry.servers import suspend

    with office.change("server.suspended", Concern.CATALOGUE, who=operator(), server=slug, because=because) as (
        session,
        _,
    ):
        done = suspend(session, slug, because)
    _show_step(done, f"{slug} is suspended; `ostiary server resume {slug}` takes that back", as_json=as_json)


@server.command("resume")
@the_server
@as_json
@with_office
def server_resume(office: Office, slug: str, *, as_json: bool) -> None:
    """Take a suspension back."""
    from registry.servers import resume

    with office.change("server.resumed", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = resume(session, slug)
    _show_step(done, f"{slug} is usable again, as far as it is still what was approved", as_json=as_json)


@server.command("retire")
@the_server
@as_json
@with_office
def server_retire(office: Office, slug: str, *, as_json: bool) -> None:
    """Take the server away for good: its secrets are removed, its name stays taken."""
    from registry.servers import retire

    with office.change("server.retired", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = retire(session, slug, office.vault)
    _show_step(done, f"{slug} is retired", as_json=as_json)


@server.command("refresh")
@the_server
@as_json
@with_office
def server_refresh(office: Office, slug: str, *, as_json: bool) -> None:
    """Ask the server again what it offers; whatever changed is hidden until it is approved."""
    _look(office, slug)
    _show_review(office, slug, as_json=as_json)


@server.command("credential")
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
    _show_step(done, f"{slug} is from now on asked with the new credential", as_json=as_json)


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


def _review(office: Office, slug: str) -> Review:
    from registry.reviewing import review

    with office.database.read() as session:
        return review(session, slug)


def _show_review(office: Office, slug: str, *, full: bool = False, as_json: bool) -> None:
    from gateway.cli.server_text import review_of, review_text

    found = _review(office, slug)
    shared = _contested(office, found)
    show(review_of(found, shared), as_json=as_json, text=lambda: review_text(found, shared, full=full))


def _contested(office: Office, found: Review) -> dict[str, str]:
    """URIs that another server kept on the merged portal, with that server."""
    from registry.assembling import contested

    with office.database.read() as session:
        return contested(session, found.server.slug)


def _to_approve(found: Review, only: tuple[str, ...], *, accept_findings: bool) -> dict[tuple[str, str], str]:
    digests = found.digests(flagged=accept_findings)
    unknown = set(only) - {name for _kind, name in digests}
    if unknown:
        raise click.ClickException(
            f"{', '.join(sorted(unknown))}: cannot be approved now; see `ostiary server show {found.server.slug}`"
        )
    return {key: digest for key, digest in digests.items() if not only or key[1] in only}


def _agree(found: Review, count: int, shown: str | None, *, yes: bool) -> None:
    """What is approved is what somebody has seen: `show`'s last word, an answer here, or --yes."""
    from gateway.cli.server_text import review_text

    slug = found.server.slug
    if shown is not None:
        if shown != found.shown:
            raise click.ClickException(
                f"{slug} is not what was shown ({shown}) any more; look again: ostiary server show {slug}"
            )
        return
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"say what you have seen (`--shown {found.shown}`, from `ostiary server show {slug}`), or --yes"
        )
    click.echo(review_text(found, {}, full=False))
    click.confirm(f"Approve {slug} with {count} definitions as they are now?", abort=True)


def _approved_text(slug: str, value: dict[str, Any]) -> str:
    lines = [f"{slug} is {value['state']}; {len(value['approved'])} definitions approved just now"]
    if value["left"]:
        lines.append(
            f"left out: {', '.join(value['left'][:8])}; read them with `ostiary server show {slug}`, then "
            f"`ostiary server approve {slug} --accept-findings`"
        )
    lines.append(f"next: `ostiary policy add ...` says who may use it, for instance the object {slug}.*")
    return "\n".join(lines)


def _show_step(done: Server, text: str, *, as_json: bool) -> None:
    sentence: Callable[[], str] = lambda: text  # noqa: E731
    show({"server": done.slug, "state": done.state}, as_json=as_json, text=sentence)
