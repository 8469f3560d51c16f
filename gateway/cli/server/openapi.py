"""HTTP APIs on the command line: a description from a file or an address, what it offers, what is chosen of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import as_json, show, with_office
from gateway.cli.output import table
from gateway.cli.server.authority import options
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlmodel import Session

    from gateway.fetch import Own
    from gateway.office import Office
    from registry.catalogue import Credential
    from registry.openapi.kept import Api, Text
    from registry.openapi.operations import Choice, Operation
    from registry.openapi.reading import Document
    from registry.screening.ahead import Ahead

MOST_LEFT = 10  # operations that are named because they cannot be tools

_given = click.argument("description", metavar="FILE_OR_URL")


def choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is wanted of a description; `choice_of` picks it up."""
    for option in (
        click.option("--read-only", is_flag=True, help="of a description: only what reads (GET)"),
        click.option("--tag", "tags", multiple=True, metavar="TAG", help="of a description: operations with this tag"),
        click.option(
            "--operation",
            "operations",
            multiple=True,
            metavar="ID",
            help="of a description: this operation, by its id or as 'GET /path'; * stands for anything",
        ),
    ):
        command = option(command)
    return command


def openapi_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """For commands that take a description among other things."""
    words = "the OpenAPI description (3.0 or 3.1, JSON or YAML) of an HTTP API, which is no MCP server"
    return click.option("--openapi", metavar="FILE_OR_URL", help=words)(choice_options(command))


def choice_of(given: Mapping[str, Any]) -> Choice:
    from registry.openapi.operations import Choice

    return Choice(tuple(given["operations"]), tuple(given["tags"]), given["read_only"])


@dataclass(frozen=True, slots=True)
class As:
    """How a description is asked for: with what is ours at the API's own origin, and with nothing anywhere else."""

    own: Own = field(default_factory=dict)
    credential: Credential | None = None


NOBODY = As()


def described(
    office: Office, where: str, choice: Choice, url: str = "", *, allow: bool = False, how: As = NOBODY
) -> Api:
    """What the description at `where` comes to, for an API at `url` or where it says."""
    from registry.openapi.kept import understand

    return understand(text_at(office, where, allow=allow, how=how), choice, address=url)


def text_at(office: Office, where: str, *, allow: bool = False, how: As = NOBODY) -> Text:
    """With `allow`, from an address that the rules would refuse."""
    from gateway.fetch import Fetcher, FetchFailed
    from gateway.upstream.openapi.describing import fetch
    from registry.addresses import exception_line
    from registry.servers import exception_lines

    if "://" not in where:
        return _file(Path(where))
    with office.database.read() as session:
        lines = [*office.settings.allow_addresses, *exception_lines(session)]
    fetcher = Fetcher([*lines, exception_line(where)] if allow else lines, own=how.own)
    try:
        found = fetch(fetcher, where, credential=how.credential)
    except FetchFailed as failed:
        raise click.ClickException(f"the description cannot be read: {failed}") from failed
    assert found is not None  # there was none before
    return found


def address_of(office: Office, api: Api, *, allow: bool) -> str:
    """Where calls go: as was said, or as the description says, which must be where it may be asked for again."""
    from registry.addresses import exception_line, parse
    from registry.servers import exception_lines

    address = api.address
    if not address:
        raise click.UsageError(
            "the description does not say where the API is: ostiary server add SLUG URL --openapi ..."
        )
    if "?" in address:
        raise click.UsageError("the address of an HTTP API is what its paths are below: it has no query")
    with office.database.read() as session:
        lines = [*office.settings.allow_addresses, *exception_lines(session)]
    if api.text.url:
        parse(api.text.url, [*lines, exception_line(address)] if allow else lines)
    return address


def say_left(api: Api) -> None:
    """Operations that were chosen and cannot be tools, with why."""
    for why in api.left[:MOST_LEFT]:
        click.echo(f"note: left out: {why}", err=True)
    if len(api.left) > MOST_LEFT:
        click.echo(f"note: and {len(api.left) - MOST_LEFT} more", err=True)


def begin_api(session: Session, slug: str, api: Api, ahead: Ahead) -> dict[str, Any]:
    """A server that was just registered is this API, screened `ahead`; facts for the record."""
    from registry.observing import observe
    from registry.openapi.kept import keep

    keep(session, slug, api)
    say_left(api)
    return _origin(api) | observe(session, slug, api.seen, ahead).facts()


def redescribe(office: Office, slug: str, given: Mapping[str, Any]) -> None:
    """The description of `slug` anew, from elsewhere or whence it came; with another choice, if one is given.

    Of a server that is no API nothing may be given, and nothing happens.
    """
    choice, where = choice_of(given), given["openapi"]
    if where or choice:
        _replace(office, slug, where, choice)
    else:
        _read_again(office, slug)


def _read_again(office: Office, slug: str) -> None:
    from registry.openapi.kept import forget_mark

    with office.database.change() as session:
        forget_mark(session, slug)


def _replace(office: Office, slug: str, where: str | None, choice: Choice) -> None:
    from registry.observing import observe, screen_ahead
    from registry.openapi.kept import choice_of as choice_kept
    from registry.openapi.kept import keep, kept
    from registry.servers import find

    with office.database.read() as session:
        row = kept(session, slug)
        before, source, server = choice_kept(row), row.url, find(session, slug)
    if not (where or source):
        raise click.UsageError(f"{slug} was described by a file: give it again with --openapi FILE")
    api = described(office, where or source, choice or before, server.url, how=_as(office, slug))
    facts, ahead = {"server": slug} | _origin(api), screen_ahead(office.database, slug, api.seen)
    with office.change("server.described", Concern.CATALOGUE, who=operator(), **facts) as (session, told):
        keep(session, slug, api)
        told.update(observe(session, slug, api.seen, ahead).facts())
    say_left(api)


def _as(office: Office, slug: str) -> As:
    """As what is on record of the server: what it is read with, if that can be had."""
    from gateway.credentials import CredentialUnavailable
    from gateway.credentials.holding import Credentials
    from gateway.credentials.own_tls import of_server
    from gateway.upstream.refreshing.refresh import reach, reachable

    credentials = Credentials(office)
    own = of_server(office, reachable(office, slug))
    try:
        return As(own, reach(office, credentials, slug)[1])
    except CredentialUnavailable:  # it may be public
        return As(own)
    finally:
        credentials.close()


def _origin(api: Api) -> dict[str, Any]:
    return {"description": api.text.url or "a file", "sha256": api.text.digest}


@click.command("openapi")
@_given
@choice_options
@click.option("--allow-address", is_flag=True, help="read it although the rules refuse its scheme, host or port")
@as_json
@with_office
def server_openapi(office: Office, description: str, *, allow_address: bool, as_json: bool, **given: Any) -> None:
    """What an OpenAPI description offers, or what would be chosen of it; nothing is registered."""
    from registry.openapi.operations import chosen, operations
    from registry.openapi.places import is_at, place_of
    from registry.openapi.reading import read_description

    text = text_at(office, description, allow=allow_address)
    document = read_description(text.content)
    here = partial(is_at, document, place=place_of(document, text.url), source=text.url)
    everything = operations(document, here)
    choice = choice_of(given)
    wanted = chosen(everything, choice) if choice else everything
    rows = [_row(one) for one in wanted]
    show(rows, as_json=as_json, text=lambda: f"{_text(rows)}{_ways(document, wanted)}")


def _row(one: Operation) -> dict[str, str]:
    return {"id": one.id or one.name, "operation": one.place, "tags": ", ".join(one.tags), "unusable": one.unusable}


def _ways(document: Document, wanted: Sequence[Operation]) -> str:
    """How it says that it is authenticated to: to be believed by whoever knows better."""
    from registry.openapi.security import ways

    lines = [f"  --auth {' or '.join(way.modes)} {options(way.settings)}" for way in ways(document, wanted)]
    return "\n".join(["\nit says of authentication:", *lines]) if lines else ""


def _text(rows: list[dict[str, str]]) -> str:
    end = "choose with --operation, --tag or --read-only: `ostiary server add SLUG --openapi FILE_OR_URL --tag TAG`"
    return f"{table(rows, 'id operation tags unusable', 'the description has no operations')}\n{end}"


def _file(path: Path) -> Text:
    from registry.openapi.kept import Text

    try:
        return Text(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"{path} cannot be read ({error.strerror})") from error
