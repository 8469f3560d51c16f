"""`ostiary revoke`: ends what somebody or something holds, at once and in every process, open streams included."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, with_office
from gateway.cli.output import say
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from gateway.office import Office


_HELD = (Concern.CUTOFFS, Concern.PERSONAL)
_MOVED = {"server": (Concern.CATALOGUE,), "tool": (Concern.CATALOGUE,)}  # of what nobody holds; rebuilt only for them


@click.group(cls=Family)
def revoke() -> None:
    """End what somebody holds, within seconds.

    Felt within a second here and five elsewhere, by open streams and calls under way too.
    """


@revoke.command("person")
@click.argument("name")
@click.option("--keep-accounts", is_flag=True, help="leave their accounts at servers connected, for when they are back")
@as_json
@with_office
def revoke_person(office: Office, name: str, *, keep_accounts: bool, as_json: bool) -> None:
    """Sign a person out everywhere: browsers, clients, personal tokens, delegations, connected accounts at servers.

    They may sign in again. A lost device has nothing of their accounts: --keep-accounts is enough for it.
    """
    from authz.people.accounts import find_person
    from authz.people.revoking import of_person

    with _revoking(office, "person", f"user:{name.removeprefix('user:')}", as_json=as_json) as (session, ended):
        person = find_person(session, name.removeprefix("user:"))
        ended.update(of_person(session, person, time.time(), accounts=not keep_accounts))


@revoke.command("agent")
@click.argument("name")
@as_json
@with_office
def revoke_agent(office: Office, name: str, *, as_json: bool) -> None:
    """End an agent's tokens and every delegation to it. It may ask for new tokens as itself."""
    from authz.clients.agents import find_agent
    from authz.people.revoking import of_agent

    with _revoking(office, "agent", f"agent:{name.removeprefix('agent:')}", as_json=as_json) as (session, ended):
        ended.update(of_agent(session, find_agent(session, name.removeprefix("agent:")), time.time()))


@revoke.command("client")
@click.argument("client_id")
@as_json
@with_office
def revoke_client(office: Office, client_id: str, *, as_json: bool) -> None:
    """End what everybody gave to a client. `ostiary client disable` keeps it out."""
    from authz.clients.enrolling import find_any
    from authz.people.revoking import of_client

    with _revoking(office, "client", client_id, as_json=as_json) as (session, ended):
        ended.update(of_client(session, find_any(session, client_id), time.time()))


@revoke.command("session")
@click.argument("session_id")
@as_json
@with_office
def revoke_session(office: Office, session_id: str, *, as_json: bool) -> None:
    """End a signed-in browser and the clients that were connected in it; `ostiary user sessions NAME` lists them."""
    from authz.people.revoking import find_browser, of_browser

    with _revoking(office, "session", session_id, as_json=as_json) as (session, ended):
        ended.update(of_browser(session, find_browser(session, session_id), time.time()))


@revoke.command("token")
@click.argument("token_id")
@as_json
@with_office
def revoke_token(office: Office, token_id: str, *, as_json: bool) -> None:
    """End one token by its name: the `jti` in the record, pat_… or sct_…; never by the token itself."""
    from authz.people.revoking import of_token

    if token_id.count(".") == 2 or token_id.startswith("ost_"):
        raise click.ClickException("that is the token itself: give its name, from `ostiary audit search`")
    with _revoking(office, "token", token_id, as_json=as_json) as (session, ended):
        ended.update(of_token(session, token_id, time.time()))


@revoke.command("delegation")
@click.argument("delegation_id")
@as_json
@with_office
def revoke_delegation(office: Office, delegation_id: str, *, as_json: bool) -> None:
    """End a delegation and the tokens that it led to."""
    from authz.people.revoking import of_delegation

    with _revoking(office, "delegation", delegation_id, as_json=as_json) as (session, ended):
        ended.update(of_delegation(session, delegation_id, time.time()))


@revoke.command("server")
@click.argument("slug")
@click.option("--because", default="", help="the reason, for the record and for its people")
@as_json
@with_office
def revoke_server(office: Office, slug: str, because: str, *, as_json: bool) -> None:
    """Take a server away from everybody; `ostiary server resume` gives it back."""
    from registry.servers import suspend

    with _revoking(office, "server", slug, as_json=as_json) as (session, _):
        suspend(session, slug, because)


@revoke.command("tool")
@click.argument("name")
@as_json
@with_office
def revoke_tool(office: Office, name: str, *, as_json: bool) -> None:
    """Take the approval of SERVER.NAME back: nobody sees or calls it until it is approved again."""
    from registry.approving import withdraw

    slug, dot, definition = name.partition(".")
    if not dot or not definition:
        raise click.UsageError("name it as policy does: SERVER.TOOL")
    with _revoking(office, "tool", name, as_json=as_json) as (session, ended):
        ended["kinds"] = withdraw(session, slug, definition)


@contextmanager
def _revoking(office: Office, kind: str, name: str, *, as_json: bool) -> Iterator[tuple[Session, dict[str, Any]]]:
    """One transaction, on record, that every process feels; afterwards it says what ended."""
    ended: dict[str, Any] = {}
    with office.change(f"revoked.{kind}", *_MOVED.get(kind, _HELD), who=operator(), name=name) as (session, facts):
        yield session, ended
        facts["ended"] = dict(ended)
    counts = ", ".join(f"{count} {held}" for held, count in ended.items() if isinstance(count, int))
    what = name if ":" in name else f"{kind} {name}"
    say(f"{what}: ended" + (f" ({counts})" if counts else ""), {kind: name, "ended": ended}, as_json=as_json)
