"""`ostiary server approve|suspend|resume|retire`: the steps of a server's life."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.server.show import review_now, review_page, show_step, the_server
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from gateway.office import Office
    from registry.reviewing import Review


@click.command("approve")
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
    from authz.people.accounts import admins
    from registry.approving import Approver, approve

    _check_alone(office, slug)
    found = review_now(office, slug)
    digests = _to_approve(found, only, accept_findings=accept_findings)
    _agree(found, len(digests), shown, yes=yes)
    with office.change("server.approved", Concern.CATALOGUE, who=operator(), server=slug) as (session, facts):
        by = Approver(name=operator(), signed_in=False, admins=admins(session))
        done = approve(session, slug, digests, by=by, accept_findings=accept_findings)
        facts.update(done.facts(), findings_accepted=accept_findings)
    if done.remark:
        click.echo(f"note: {done.remark}", err=True)
    value = {
        "server": slug,
        "state": done.server.state,
        "approved": [*done.approved],
        "left": [item.name for item in review_now(office, slug).awaiting],
    }
    show(value, as_json=as_json, text=lambda: _approved_text(slug, value))


@click.command("suspend")
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
    show_step(done, f"{slug} is suspended; `ostiary server resume {slug}` takes that back", as_json=as_json)


@click.command("resume")
@the_server
@as_json
@with_office
def server_resume(office: Office, slug: str, *, as_json: bool) -> None:
    """Take a suspension back."""
    from registry.servers import resume

    with office.change("server.resumed", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = resume(session, slug)
    show_step(done, f"{slug} is usable again, as far as it is still what was approved", as_json=as_json)


@click.command("retire")
@the_server
@as_json
@with_office
def server_retire(office: Office, slug: str, *, as_json: bool) -> None:
    """Take the server away for good: its secrets are removed, its name stays taken.

    One that was never approved leaves nothing but its record, and its name is free again.
    """
    from registry.servers import retire

    with office.change("server.retired", Concern.CATALOGUE, who=operator(), server=slug) as (session, _):
        done = retire(session, slug, office.vault)
    show_step(done, f"{slug} is retired", as_json=as_json)


def _check_alone(office: Office, slug: str) -> None:
    """Before anything is asked; the registry asks the same once more when it approves."""
    if page := review_page(office, slug):
        raise click.ClickException(
            f"there is more than one administrator, so one of them has to approve, signed in: open {page}"
        )


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
    from gateway.cli.server.text import review_text

    slug = found.server.slug
    if shown is not None:
        if shown != found.shown:
            raise click.ClickException(
                f"{slug} is not what was shown ({shown}) any more; look again: ostiary server show {slug}"
            )
        return
    if yes or found.server.probed_at is None:  # of what nobody could read, approving says why
        return
    if not sys.stdin.isatty():
        raise click.ClickException(
            f"say what you have seen (`--shown {found.shown}`, from `ostiary server show {slug}`), or --yes"
        )
    click.echo(review_text(found, {}, full=False))
    click.confirm(f"Approve {slug} with {count} definitions as they are now?", abort=True)


def _approved_text(slug: str, value: dict[str, Any]) -> str:
    count = len(value["approved"])
    lines = [f"{slug} is {value['state']}; {count} definition{'' if count == 1 else 's'} approved just now"]
    if value["left"]:
        lines.append(
            f"left out: {', '.join(value['left'][:8])}; read them with `ostiary server show {slug}`, then "
            f"`ostiary server approve {slug} --accept-findings`"
        )
    lines.append(f"next: `ostiary policy add ...` says who may use it, for instance the object {slug}.*")
    return "\n".join(lines)
