"""`ostiary server list|show|diff`: what is registered, how it stands, and what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, show, with_office

if TYPE_CHECKING:
    from gateway.office import Office
    from registry.reviewing import Review
    from registry.tables import Server

the_server = click.argument("slug")


@click.command("list")
@click.option("--retired", is_flag=True, help="also those that were retired")
@as_json
@with_office
def server_list(office: Office, *, retired: bool, as_json: bool) -> None:
    """Every server, its state, what awaits review, and what is wrong with which and what to do."""
    from gateway.cli.server.text import row_of, rows_text
    from gateway.operating.standing import wrong
    from registry.reviewing import review
    from registry.servers import all_servers

    with office.database.read() as session:
        found = [review(session, one.slug) for one in all_servers(session, retired=retired)]
        why = wrong(session, [one.server.slug for one in found if one.server.state != "retired"])
    rows = [row_of(one, why.get(one.server.slug, ("", "", ""))) for one in found]
    show(rows, as_json=as_json, text=lambda: rows_text(rows))


@click.command("show")
@the_server
@click.option("--full", is_flag=True, help="every definition in full, escaped")
@as_json
@with_office
def server_show(office: Office, slug: str, *, full: bool, as_json: bool) -> None:
    """What the server offers, how each definition stands, what screening found, and how to approve it."""
    show_review(office, slug, full=full, as_json=as_json)


@click.command("diff")
@the_server
@as_json
@with_office
def server_diff(office: Office, slug: str, *, as_json: bool) -> None:
    """What changed since the last approval, field by field."""
    from gateway.cli.server.text import diff_of, diff_text

    found = review_now(office, slug)
    show(diff_of(found), as_json=as_json, text=lambda: diff_text(found))


def review_now(office: Office, slug: str) -> Review:
    from registry.reviewing import review

    with office.database.read() as session:
        return review(session, slug)


def show_review(office: Office, slug: str, *, full: bool = False, as_json: bool) -> None:
    from gateway.cli.server.accounts import accounts_of
    from gateway.cli.server.text import review_of, review_text
    from gateway.cli.server.trust import trust_of

    found = review_now(office, slug)
    shared = _contested(office, found)
    data = review_of(found, shared) | accounts_of(office, found.server) | trust_of(office, found.server)
    text = review_text(found, shared, full=full, page=review_page(office, slug))
    show(data, as_json=as_json, text=lambda: _joined(text, office, found))


def review_page(office: Office, slug: str) -> str:
    """Where it has to be approved once there are several administrators; empty before."""
    from authz.people.accounts import admins

    with office.database.read() as session:
        return f"{office.settings.review_url}/{slug}" if admins(session) > 1 else ""


def _joined(text: str, office: Office, found: Review) -> str:
    from gateway.cli.server.accounts import accounts_text
    from gateway.cli.server.trust import trust_text

    told = (text, accounts_text(office, found.server), trust_text(office, found.server))
    return "\n\n".join(filter(None, told))


def _contested(office: Office, found: Review) -> dict[str, str]:
    """URIs that another server kept on the merged portal, with that server."""
    from registry.catalogue.assembling import contested

    with office.database.read() as session:
        return contested(session, found.server.slug)


def show_step(done: Server, text: str, *, as_json: bool) -> None:
    show({"server": done.slug, "state": done.state}, as_json=as_json, text=lambda: text)
