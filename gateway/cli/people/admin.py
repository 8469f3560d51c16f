"""`ostiary admin`: the administrator's way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.office import operator

if TYPE_CHECKING:
    from gateway.office import Office


@click.group(cls=Family)
def admin() -> None:
    """The administrator's way in."""


@admin.command("link")
@click.option("--user", "handle", help="for somebody who is there already: sets a new password")
@click.option("--public-url", help="where the gateway is reached, if no setting says it")
@as_json
@with_office
def admin_link(office: Office, handle: str | None, public_url: str | None, *, as_json: bool) -> None:
    """Print a link that works once, for 15 minutes, and makes an administrator."""
    from gateway.starting.first_start import admin_link as make

    link = (public_url or office.settings.base_url).rstrip("/") + make(office, who=operator(), handle=handle or "")
    show({"link": link}, as_json=as_json, text=lambda: link)
