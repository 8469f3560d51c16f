"""`ostiary user`: people with a password of ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import minute, new_password, say, table
from gateway.cli.people.group import groups_by_member
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from authz.tables import BrowserSession, Person
    from gateway.office import Office


generated = click.option("--generate", is_flag=True, help="make a password and print it once")


@click.group(cls=Family)
def user() -> None:
    """People with a password of ours."""


@user.command("add")
@click.argument("handle")
@click.option("--name", default="", help="how pages greet them")
@click.option("--email", default="")
@click.option("--admin", is_flag=True, help="may review servers")
@click.option("--group", "groups", multiple=True, help="a group to join; may be given more than once")
@generated
@as_json
@with_office
def user_add(
    office: Office,
    handle: str,
    name: str,
    email: str,
    groups: Sequence[str],
    *,
    admin: bool,
    generate: bool,
    as_json: bool,
) -> None:
    """Add somebody; policy will call them user:HANDLE."""
    from authz.people.accounts import add_person, join, new_hash

    password, made = new_password(generate=generate)
    hashed = new_hash(handle, password)
    with office.change(
        "person.added", Concern.PEOPLE, who=operator(), person=f"user:{handle}", admin=admin, groups=list(groups)
    ) as (session, _):
        person = add_person(session, handle, password_hash=hashed, name=name, email=email, is_admin=admin)
        for group in groups:
            join(session, group, person.id)
    say(f"user:{handle} is added", {"handle": handle, "id": person.id}, made, as_json=as_json)


@user.command("list")
@as_json
@with_office
def user_list(office: Office, *, as_json: bool) -> None:
    """Everybody, with their groups."""
    from sqlmodel import select

    from authz.tables import Person

    with office.database.read() as session:
        groups = groups_by_member(session)
        people = session.exec(select(Person).order_by(Person.handle)).all()
        rows = [_person_row(person, groups.get(person.id, [])) for person in people]
    show(rows, as_json=as_json, text=lambda: table(rows, "handle name admin provider groups state", "nobody yet"))


@user.command("disable")
@click.argument("handle")
@as_json
@with_office
def user_disable(office: Office, handle: str, *, as_json: bool) -> None:
    """End somebody's sessions and tokens, and let them do nothing more."""
    from authz.people.accounts import admins, disable_person, find_person

    with office.change("person.disabled", Concern.PEOPLE, Concern.CUTOFFS, who=operator(), person=f"user:{handle}") as (
        session,
        _,
    ):
        disable_person(session, find_person(session, handle), time.time())
        session.flush()
        left = admins(session)
    say(f"user:{handle} is disabled", {"handle": handle, "state": "disabled"}, as_json=as_json)
    if not left:
        click.echo("No administrator is left: `ostiary admin link` prints a link that makes one.", err=True)


@user.command("enable")
@click.argument("handle")
@as_json
@with_office
def user_enable(office: Office, handle: str, *, as_json: bool) -> None:
    """Let somebody in again; what was issued before stays ended."""
    from authz.people.accounts import find_person

    with office.change("person.enabled", Concern.PEOPLE, who=operator(), person=f"user:{handle}") as (session, _):
        person = find_person(session, handle)
        person.disabled_at, person.disabled_by = None, ""
    say(f"user:{handle} is enabled", {"handle": handle, "state": "enabled"}, as_json=as_json)


@user.command("password")
@click.argument("handle")
@generated
@as_json
@with_office
def user_password(office: Office, handle: str, *, generate: bool, as_json: bool) -> None:
    """Set a new password and sign their browsers out; connected clients stay."""
    from authz.people.accounts import find_person, new_hash
    from authz.people.sessions import end_sessions

    with office.database.read() as session:
        find_person(session, handle)
    password, made = new_password(generate=generate)
    hashed = new_hash(handle, password)
    with office.change("person.password_set", who=operator(), person=f"user:{handle}") as (session, _):
        person = find_person(session, handle)
        person.password_hash = hashed
        end_sessions(session, person.id)
    say(f"user:{handle} has a new password", {"handle": handle}, made, as_json=as_json)


@user.command("reset-totp")
@click.argument("handle")
@as_json
@with_office
def user_reset_totp(office: Office, handle: str, *, as_json: bool) -> None:
    """Take somebody's second factor away, when their device is lost; their browsers are signed out."""
    from authz.people.accounts import find_person
    from authz.people.second_factor import reset
    from authz.people.sessions import end_sessions

    with office.change("second_factor.reset", who=operator(), person=f"user:{handle}") as (session, _):
        person = find_person(session, handle)
        reset(session, person.id)
        end_sessions(session, person.id)
    say(f"user:{handle} signs in without a second factor, or sets up a new one", {"handle": handle}, as_json=as_json)


@user.command("sessions")
@click.argument("handle")
@as_json
@with_office
def user_sessions(office: Office, handle: str, *, as_json: bool) -> None:
    """The browsers that somebody is signed in with; `ostiary revoke session ID` ends one."""
    from sqlmodel import col, select

    from authz.people.accounts import find_person
    from authz.tables import BrowserSession

    with office.database.read() as session:
        person = find_person(session, handle)
        alive = select(BrowserSession).where(
            BrowserSession.person == person.id, col(BrowserSession.expires_at) > time.time()
        )
        rows = [_session_row(row) for row in session.exec(alive.order_by(col(BrowserSession.created_at)))]
    show(rows, as_json=as_json, text=lambda: table(rows, "id since seen address how", "no browser is signed in"))


@user.command("admin")
@click.argument("handle")
@click.option("--off", is_flag=True, help="take it back")
@as_json
@with_office
def user_admin(office: Office, handle: str, *, off: bool, as_json: bool) -> None:
    """Make somebody an administrator, or take it back."""
    from authz.people.accounts import find_person

    with office.change("person.admin", Concern.PEOPLE, who=operator(), person=f"user:{handle}", admin=not off) as (
        session,
        _,
    ):
        find_person(session, handle).is_admin = not off
    text = f"user:{handle} is {'no longer' if off else 'now'} an administrator"
    say(text, {"handle": handle, "admin": not off}, as_json=as_json)


def _session_row(row: BrowserSession) -> dict[str, Any]:
    from authz.people.revoking import SHOWN

    since, seen = minute(row.created_at), minute(row.seen_at)
    return {"id": row.hash[:SHOWN], "since": since, "seen": seen, "address": row.address, "how": row.amr}


def _person_row(person: Person, groups: list[str]) -> dict[str, Any]:
    return {
        "handle": person.handle,
        "name": person.name,
        "email": person.email,
        "admin": person.is_admin,
        "provider": person.provider,
        "groups": groups,
        "state": "enabled" if person.disabled_at is None else "disabled",
    }
