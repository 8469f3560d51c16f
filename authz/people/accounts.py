"""People and their groups: who there is, and what policy calls them."""

from __future__ import annotations

import secrets
import time
from typing import Final

from sqlmodel import Session, col, delete, or_, select

from authz.clients.agents import agents, find_agent
from authz.errors import AccountRefused
from authz.grammar import check_handle
from authz.people import revoking
from authz.people.passwords import check_strength, hash_password
from authz.principals import ADMINS, Member
from authz.tables import Group, Membership, Person, RoleBinding, Rule
from registry.database import upsert

LOCAL_ISSUER: Final = "local"


def load_members(session: Session) -> dict[str, Member]:
    """Everybody enabled, people and agents, by id."""
    groups: dict[str, dict[str, float | None]] = {}
    for row in session.exec(select(Membership)):
        groups.setdefault(row.member, {})[row.group] = row.until
    members = [
        Member(person.id, person.label, groups.get(person.id, {}), person.is_admin)
        for person in session.exec(select(Person).where(col(Person.disabled_at).is_(None)))
    ]
    members += [Member(agent.id, agent.label, groups.get(agent.id, {})) for agent in agents(session)]
    return {member.id: member for member in members}


def find_person(session: Session, handle: str) -> Person:
    person = session.exec(select(Person).where(Person.handle == handle)).one_or_none()
    if person is None:
        raise AccountRefused(f"nobody is called {handle!r}; `ostiary user list` shows who there is")
    return person


def add_person(
    session: Session, handle: str, *, password_hash: str, name: str = "", email: str = "", is_admin: bool = False
) -> Person:
    """A person with a password of ours (see `new_hash`); groups come with `join`."""
    check_handle(handle)
    if session.exec(select(Person).where(Person.handle == handle)).one_or_none() is not None:
        raise AccountRefused(f"somebody is called {handle!r} already; choose another name")
    person = Person(
        id=f"usr_{secrets.token_hex(16)}",
        issuer=LOCAL_ISSUER,
        subject=handle,
        handle=handle,
        name=name or handle,
        email=email,
        password_hash=password_hash,
        is_admin=is_admin,
        created_at=time.time(),
    )
    session.add(person)
    session.flush()
    return person


def new_hash(handle: str, password: str) -> str:
    """Takes a tenth of a second: call it before the transaction, not inside."""
    check_handle(handle)
    check_strength(password, handle)
    return hash_password(password)


def disable_person(session: Session, person: Person, now: float) -> None:
    """Nothing of theirs counts from now on, and what was issued stays dead if they are enabled again.

    By an administrator, whatever ended them before: so no sign-in undoes it.
    """
    revoking.of_person(session, person, now)
    person.disabled_at, person.disabled_by = now, ""
    session.add(person)


def admins(session: Session) -> int:
    """How many enabled administrators there are; with two, proposer and approver must differ."""
    mapped = select(Membership.member).where(
        Membership.group == ADMINS, or_(col(Membership.until).is_(None), col(Membership.until) > time.time())
    )
    found = session.exec(
        select(Person.id).where(
            or_(col(Person.is_admin).is_(True), col(Person.id).in_(mapped)), col(Person.disabled_at).is_(None)
        )
    )
    return len(found.all())


def add_group(session: Session, name: str) -> Group:
    check_handle(name)
    if session.get(Group, name) is not None:
        raise AccountRefused(f"there is a group {name!r} already")
    group = Group(name=name, created_at=time.time())
    session.add(group)
    session.flush()
    return group


def find_group(session: Session, name: str) -> Group:
    group = session.get(Group, name)
    if group is None:
        ways = "`ostiary group list` shows those there are, `ostiary group add` makes one"
        raise AccountRefused(f"there is no group {name!r}; {ways}")
    return group


def remove_group(session: Session, name: str) -> None:
    """Its memberships go with it, so that a later group of the same name begins empty."""
    session.delete(find_group(session, name))
    session.execute(delete(Membership).where(col(Membership.group) == name))


def rules_about(session: Session, subject: str) -> int:
    """How many rules and bindings name `subject`: a group of the same name made later would have them again."""
    rules = session.exec(select(Rule.id).where(Rule.subject == subject)).all()
    bindings = session.exec(select(RoleBinding.role).where(RoleBinding.subject == subject)).all()
    return len(rules) + len(bindings)


def join(session: Session, group: str, member: str, until: float | None = None) -> None:
    """`member` is the id of a person or an agent."""
    find_group(session, group)
    upsert(session, Membership(member=member, group=group, until=until))


def leave(session: Session, group: str, member: str) -> None:
    membership = session.get(Membership, (member, find_group(session, group).name))
    if membership is None:
        raise AccountRefused(f"not a member of {group!r}")
    session.delete(membership)


def member_id(session: Session, handle: str) -> str:
    """The id behind `alice`, `user:alice` or `agent:nightly`."""
    kind, _, name = handle.rpartition(":")
    if kind == "agent":
        return find_agent(session, name).id
    return find_person(session, name).id
