"""`ostiary notice`: what an operator is told at `webhook_url` without looking; what waits, and if it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import minute, say, table
from gateway.office import operator

if TYPE_CHECKING:
    from gateway.office import Office
    from registry.tables import Notice

NOBODY = "there is no webhook_url: nothing is sent"
COLUMNS = "notice event at attempts again"


@click.group(cls=Family)
def notice() -> None:
    """What `webhook_url` is told: accounts that end, suspended servers."""


@notice.command("list")
@as_json
@with_office
def notice_list(office: Office, *, as_json: bool) -> None:
    """What waits to be taken, and what is told of at all."""
    from sqlmodel import col, select

    from gateway.notices import KINDS
    from registry.tables import Notice

    with office.database.read() as session:
        rows = [_row(one) for one in session.exec(select(Notice).order_by(col(Notice.at)))]
    url = office.settings.webhook_url
    told = [f"notices go to {url}" if url else NOBODY, *(f"  {kind}: {what}" for kind, what in KINDS.items())]
    value = {"url": url, "kinds": KINDS, "waiting": rows}
    show(value, as_json=as_json, text=lambda: "\n".join([*told, table(rows, COLUMNS, "nothing waits")]))


@notice.command("key")
@click.option("--new", is_flag=True, help="make another; the old one is worth nothing from then on")
@as_json
@with_office
def notice_key(office: Office, *, new: bool, as_json: bool) -> None:
    """Show the key that messages to `webhook_url` are signed with."""
    from gateway.notices import webhook

    url = office.settings.webhook_url
    if new:
        office.journal.note("notice.key", who=operator())
    key = webhook.shown(webhook.key(office, new=new))
    text = f"notices go to {url}" if url else NOBODY
    say(f"{text}\nThey are signed with:\n{key}", {"url": url, "key": key}, as_json=as_json)


@notice.command("test")
@as_json
@with_office
def notice_test(office: Office, *, as_json: bool) -> None:
    """Send one now, to see whether it arrives."""
    from gateway.notices import webhook

    url = office.settings.webhook_url
    if url is None:
        raise click.ClickException(f"{NOBODY}; set it in the configuration file")
    heard = webhook.Webhook(office).test(operator())
    if not heard.taken:
        raise click.ClickException(f"{url} did not take it: {heard.why}")
    say(f"{url} has taken it", {"url": url, "taken": True}, as_json=as_json)


def _row(one: Notice) -> dict[str, Any]:
    import msgspec

    event = msgspec.json.decode(one.body).get("type", "")
    return {
        "notice": one.id,
        "event": event,
        "at": minute(one.at),
        "attempts": one.attempts,
        "again": minute(one.due_at),
    }
