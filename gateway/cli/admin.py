"""`ostiary admin`: the administrator's way in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from gateway.cli.common import as_json, show, with_office
from gateway.office import operator

if TYPE_CHECKING:
    from gateway.office import Office


@click.group()
def admin() -> None:
    """The administrator's way in."""


@admin.command("link")
@click.option("--user", "handle", help="for somebody who is there already: sets a new password")
@click.option("--public-url", help="where the gateway is reached, if no setting says it")
@as_json
@with_office
def admin_link(office: Office, handle: str | None, public_url: str | None, *, as_json: bool) -> None:
    """Print a link that works once, for 15 minutes, and makes an administrator."""
    from authz.accounts import find_person
    from authz.sessions import ADMIN_LINK, make_link

    with office.change("admin.link", who=operator(), person=f"user:{handle}" if handle else "") as (session, _):
        person = find_person(session, handle).id if handle else ""
        token = make_link(session, ADMIN_LINK, time.time(), person=person)
    link = f"{(public_url or office.settings.base_url).rstrip('/')}/setup/{token}"
    show({"link": link}, as_json=as_json, text=lambda: link)
