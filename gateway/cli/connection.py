"""`ostiary connection`: accounts at servers, of people and shared ones; how they stand, never what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import minute, table
from gateway.cli.server.show import the_server
from gateway.office import operator

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session

    from gateway.credentials.equipment import Equipment
    from gateway.office import Office
    from registry.catalogue import Upstream
    from registry.tables import Connection

COLUMNS = "server account state since until why"


def of_whom(command: Callable[..., Any]) -> Callable[..., Any]:
    """Whose account it is: a person's or the shared one."""
    command = click.option("--person", metavar="NAME", help="this person's (or agent:NAME)")(command)
    return click.option("--shared", is_flag=True, help="the one that everybody uses")(command)


@click.group(cls=Family)
def connection() -> None:
    """Accounts that people connected at servers."""


@connection.command("list")
@click.option("--server", metavar="SLUG", help="at this server")
@of_whom
@as_json
@with_office
def connection_list(office: Office, server: str | None, person: str | None, *, shared: bool, as_json: bool) -> None:
    """Every connection, how it stands, and until when."""
    with office.database.read() as session:
        rows = [_row(session, one) for one in _chosen(session, server, person, shared=shared)]
    show(rows, as_json=as_json, text=lambda: table(rows, COLUMNS, "nothing is connected"))


@connection.command("show")
@the_server
@of_whom
@as_json
@with_office
def connection_show(office: Office, slug: str, person: str | None, *, shared: bool, as_json: bool) -> None:
    """All that is known of one, except what is sealed."""
    with office.database.read() as session:
        value = _details(session, _one(session, slug, person, shared=shared))
    show(value, as_json=as_json, text=lambda: "\n".join(f"{name:<13} {shown}" for name, shown in _texts(value)))


@connection.command("refresh")
@the_server
@of_whom
@as_json
@with_office
def connection_refresh(office: Office, slug: str, person: str | None, *, shared: bool, as_json: bool) -> None:
    """Have a new token for it now. It is presented once, also if the gateway is about to do the same."""
    from gateway.credentials import CredentialUnavailable
    from gateway.credentials.connections.renewing import renew_once
    from gateway.credentials.equipment import Equipment
    from registry.credentials.connections import is_alive, tokens_of

    with office.database.read() as session:
        row = _one(session, slug, person, shared=shared)
        if not is_alive(row):
            raise click.ClickException(f"it is {row.state}: {row.why}")
        if not row.issuer:
            raise click.ClickException(
                f"it is a value, which nothing renews: its person gives another at /connect/{slug}"
            )
        tokens = tokens_of(session, office.vault, row)
        upstream = _upstream(session, office, slug)
    if not tokens.refresh:
        raise click.ClickException("it cannot be renewed without a person: connect it again")
    try:
        renew_once(Equipment(office), upstream, row, tokens)
    except CredentialUnavailable as later:
        raise click.ClickException(str(later)) from later
    with office.database.read() as session:
        value = _row(session, _one(session, slug, person, shared=shared))
    show(value, as_json=as_json, text=lambda: table([value], COLUMNS, ""))


@connection.command("revoke")
@click.option("--server", metavar="SLUG", help="at this server")
@of_whom
@as_json
@with_office
def connection_revoke(office: Office, server: str | None, person: str | None, *, shared: bool, as_json: bool) -> None:
    """End connections here, tell their authorization servers, and forget what was kept of them."""
    from gateway.credentials.connections.deeds import end
    from gateway.credentials.equipment import Equipment

    if server is None and person is None and not shared:
        raise click.UsageError("say which: --server SLUG, --person NAME or --shared")
    equipment = Equipment(office)
    with office.database.read() as session:
        found = _chosen(session, server, person, shared=shared)
    ended = [one for one in found if end(equipment, one.server, one.subject, who=operator())]
    for one in ended:
        _tidy(equipment, one)
    with office.database.read() as session:
        rows = [_row(session, one) for one in _again(session, ended)]
    text = f"{len(rows)} ended" if rows else "there was nothing to end"
    show(rows, as_json=as_json, text=lambda: text)


def _chosen(session: Session, server: str | None, person: str | None, *, shared: bool) -> list[Connection]:
    from registry.credentials.connections import listed
    from registry.servers import find

    if server is not None:
        find(session, server)
    return listed(session, slug=server, subject=_subject(session, person, shared=shared))


def _one(session: Session, slug: str, person: str | None, *, shared: bool) -> Connection:
    """The only one there is, if it is not said whose."""
    found = _chosen(session, slug, person, shared=shared)
    if len(found) != 1:
        many = f"there are {len(found)}: say --person NAME or --shared" if found else "there is none"
        raise click.ClickException(f"{slug}: {many}; `ostiary connection list --server {slug}` shows which there are")
    return found[0]


def _subject(session: Session, person: str | None, *, shared: bool) -> str | None:
    from authz.people.accounts import member_id

    if shared and person is not None:
        raise click.UsageError("give --person or --shared, not both")
    return "" if shared else None if person is None else member_id(session, person)


def _upstream(session: Session, office: Office, slug: str) -> Upstream:
    from registry.catalogue.assembling import upstream_of
    from registry.servers import exception_lines, find

    return upstream_of(find(session, slug), [*office.settings.allow_addresses, *exception_lines(session)])


def _tidy(equipment: Equipment, row: Connection) -> None:
    from gateway.credentials.connections.deeds import tidy
    from registry.errors import RegistryError

    try:
        with equipment.office.database.read() as session:
            upstream = _upstream(session, equipment.office, row.server)
    except RegistryError:  # its address is refused now: then nobody can be told
        upstream = None
    tidy(equipment, upstream, row)


def _again(session: Session, rows: list[Connection]) -> list[Connection]:
    from registry.credentials.connections import find

    return [now for one in rows if (now := find(session, one.server, one.subject)) is not None]


def _row(session: Session, row: Connection) -> dict[str, Any]:
    from gateway.credentials.connections.telling import label
    from registry.credentials.connections import is_alive, standing

    ends = standing(row).end if is_alive(row) else None
    return {
        "server": row.server,
        "account": label(session, row.subject),
        "state": row.state,
        "since": minute(row.changed_at),
        "until": minute(ends) if ends else "",
        "why": row.why,
    }


def _details(session: Session, row: Connection) -> dict[str, Any]:
    return _row(session, row) | {
        "connected": minute(row.connected_at),
        "connected_by": row.connected_by,
        "issuer": row.issuer,
        "scopes": row.scopes,
        "token_until": minute(row.expires_at) if row.expires_at else "",
        "next_renewal": minute(row.refresh_at) if row.refresh_at else "",
        "attempts": row.attempts,
        "warned": minute(row.warned_at) if row.warned_at else "",
    }


def _texts(value: dict[str, Any]) -> list[tuple[str, str]]:
    from gateway.cli.output import plain

    return [(name.replace("_", " "), plain(one)) for name, one in value.items() if one not in ("", [])]
