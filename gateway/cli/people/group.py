"""`ostiary group`: groups of people and agents, for policy to speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.common import Family, as_json, show, with_office
from gateway.cli.output import say, table
from gateway.office import operator
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlmodel import Session

    from gateway.office import Office


@click.group(cls=Family)
def group() -> None:
    """Groups of people and agents, for policy to speak of."""


@group.command("add")
@click.argument("name")
@as_json
@with_office
def group_add(office: Office, name: str, *, as_json: bool) -> None:
    """Add a group; policy will call it group:NAME."""
    from authz.people.accounts import add_group

    with office.change("group.added", Concern.PEOPLE, who=operator(), group=f"group:{name}") as (session, _):
        add_group(session, name)
    say(f"group:{name} is added", {"group": name}, as_json=as_json)


@group.command("list")
@as_json
@with_office
def group_list(office: Office, *, as_json: bool) -> None:
    """Every group, with its members."""
    from sqlmodel import select

    from authz.tables import Group

    with office.database.read() as session:
        labels, groups = _labels(session), groups_by_member(session)
        members: dict[str, list[str]] = {}
        for member, names in groups.items():
            for name in names:
                members.setdefault(name, []).append(labels.get(member, member))
        found = session.exec(select(Group).order_by(Group.name)).all()
        rows = [{"group": row.name, "members": sorted(members.get(row.name, []))} for row in found]
    show(rows, as_json=as_json, text=lambda: table(rows, "group members", "no group yet"))


@group.command("remove")
@click.argument("name")
@as_json
@with_office
def group_remove(office: Office, name: str, *, as_json: bool) -> None:
    """Remove a group and its memberships; rules that name it stay, and are counted."""
    from authz.people.accounts import remove_group, rules_about

    with office.change("group.removed", Concern.PEOPLE, who=operator(), group=f"group:{name}") as (session, _):
        remove_group(session, name)
        rules = rules_about(session, f"group:{name}")
    say(f"group:{name} is removed", {"group": name, "rules_left": rules}, as_json=as_json)
    if rules:
        click.echo(f"{rules} rules or bindings still name group:{name}; `ostiary policy list` shows them.", err=True)


@group.command("join")
@click.argument("name")
@click.argument("who", nargs=-1, required=True)
@as_json
@with_office
def group_join(office: Office, name: str, who: Sequence[str], *, as_json: bool) -> None:
    """Let people (HANDLE) and agents (agent:HANDLE) join a group."""
    from authz.people.accounts import join

    _each(office, "group.joined", name, who, join)
    say(f"{', '.join(who)} joined group:{name}", {"group": name, "joined": list(who)}, as_json=as_json)


@group.command("leave")
@click.argument("name")
@click.argument("who", nargs=-1, required=True)
@as_json
@with_office
def group_leave(office: Office, name: str, who: Sequence[str], *, as_json: bool) -> None:
    """Let people (HANDLE) and agents (agent:HANDLE) leave a group."""
    from authz.people.accounts import leave

    _each(office, "group.left", name, who, leave)
    say(f"{', '.join(who)} left group:{name}", {"group": name, "left": list(who)}, as_json=as_json)


def _each(office: Office, event: str, name: str, who: Iterable[str], act: Callable[[Session, str, str], None]) -> None:
    from authz.people.accounts import member_id

    with office.change(event, Concern.PEOPLE, who=operator(), group=f"group:{name}", members=list(who)) as (session, _):
        for one in who:
            act(session, name, member_id(session, one))


def groups_by_member(session: Session) -> dict[str, list[str]]:
    from sqlmodel import select

    from authz.tables import Membership

    found: dict[str, list[str]] = {}
    for row in session.exec(select(Membership).order_by(Membership.group)):
        found.setdefault(row.member, []).append(row.group)
    return found


def _labels(session: Session) -> dict[str, str]:
    """What policy calls everybody, disabled or not, by id."""
    from sqlmodel import select

    from authz.tables import Client, Person

    labels = {person.id: person.label for person in session.exec(select(Person))}
    return labels | {one.id: one.label for one in session.exec(select(Client)) if one.handle}
