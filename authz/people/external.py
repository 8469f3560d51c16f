"""People whom an identity provider vouches for: how they become, stay and cease to be people of ours.

Identity is (issuer, subject), never a name or an address, which people and providers change. Everything works inside
the caller's transaction, which moves the epochs of `Concern.PEOPLE` and, where people end, of `Concern.CUTOFFS`.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Final

from sqlmodel import Session, col, delete, func, select

from authz.errors import SignInRefused
from authz.people.accounts import LOCAL_ISSUER, disable_person
from authz.people.sessions import end_session
from authz.tables import ClaimMapping, ForeignSession, Group, Membership, Person, Provider
from authz.tokens import families

if TYPE_CHECKING:
    from idp_adapters.contract import Ended, ExternalIdentity

_LONGEST_LOGIN: Final = 50  # with `@`, a slug of 64 and a number it is a handle still
_LONGEST_TEXT: Final = 256
_LONGEST_NAME: Final = 512
_NOT_IN_A_HANDLE: Final = re.compile(r"[^a-z0-9._+-]+")


def admit(session: Session, provider: str, identity: ExternalIdentity, now: float, life: float) -> Person:
    """The person behind an identity, made at the first sign-in; their mapped groups hold for `life` seconds.

    Raises SignInRefused for whoever an administrator disabled, and for an identity that another provider vouches for.
    """
    if not (_is_name(identity.issuer) and _is_name(identity.subject)) or identity.issuer == LOCAL_ISSUER:
        raise SignInRefused("nameless")
    person = find(session, identity.issuer, identity.subject) or make(session, provider, identity, now)
    claim(session, provider, person)
    if person.disabled_at is not None and person.disabled_by != provider:
        raise SignInRefused("disabled")
    person.disabled_at, person.disabled_by = None, ""
    refresh(session, provider, person, identity, now + life)
    return person


def claim(session: Session, provider: str, person: Person) -> None:
    """The provider speaks for them from now on: its own people, and those whose provider is gone. SignInRefused."""
    if person.provider == provider:
        return
    if session.get(Provider, person.provider) is not None:
        raise SignInRefused("other_provider")
    if person.disabled_by and person.disabled_by == person.provider:
        person.disabled_by = provider
    person.provider = provider
    session.add(person)


def find(session: Session, issuer: str, subject: str) -> Person | None:
    """Who has signed in with this identity before."""
    if issuer == LOCAL_ISSUER:  # nobody but ourselves vouches for our own
        return None
    return session.exec(select(Person).where(Person.issuer == issuer, Person.subject == subject)).one_or_none()


def refresh(session: Session, provider: str, person: Person, identity: ExternalIdentity, until: float) -> None:
    """Name, address and mapped groups as the provider has them now; groups that an administrator gave stay."""
    person.name = plain(identity.name) or person.name
    person.email = plain(identity.email)
    person.vouched_at = max(person.vouched_at, identity.authenticated_at)
    session.add(person)
    session.flush()
    drop_groups(session, person.id)
    for group in sorted(mapped_groups(session, provider, identity)):
        row = session.get(Membership, (person.id, group))
        if row is None:
            session.add(Membership(member=person.id, group=group, until=until, mapped=True))
    session.flush()


def mapped_groups(session: Session, provider: str, identity: ExternalIdentity) -> frozenset[str]:
    """Our groups that the mappings make of the identity's claims."""
    rows = session.exec(
        select(ClaimMapping, Group)
        .join(Group, col(Group.name) == col(ClaimMapping.group))
        .where(ClaimMapping.provider == provider)
    )
    return frozenset(
        mapping.group for mapping, _ in rows if mapping.value in identity.claims.get(mapping.claim, frozenset())
    )


def mapped(session: Session, person: str) -> frozenset[str]:
    """The groups that a sign-in gave them."""
    rows = select(Membership.group).where(Membership.member == person, col(Membership.mapped).is_(True))
    return frozenset(session.exec(rows))


def groups_end(session: Session, person: str) -> float | None:
    """When the first of them ends."""
    mapped_ = (col(Membership.member) == person, col(Membership.mapped).is_(True))
    return session.exec(select(func.min(Membership.until)).where(*mapped_)).one()


def drop_groups(session: Session, person: str) -> None:
    """Those that a sign-in gave."""
    mapped = (col(Membership.member) == person, col(Membership.mapped).is_(True))
    session.execute(delete(Membership).where(*mapped))


def disappear(session: Session, provider: str, person: Person, now: float) -> None:
    """The provider knows them no more: all that they had ends; a later sign-in there begins anew."""
    drop_groups(session, person.id)
    if person.disabled_at is None:
        disable_person(session, person, now)
        person.disabled_by = provider
    session.execute(delete(ForeignSession).where(col(ForeignSession.person) == person.id))
    session.add(person)
    session.flush()


def end(session: Session, provider: str, ended: Ended, now: float) -> list[ForeignSession]:
    """Ends what came of a session at the provider, or of all of a person's: browsers, families, their tokens."""
    found = _named(session, provider, ended)
    for row in found:
        end_session(session, row.session)
        families.end_of_session(session, row.session, now)
        session.delete(row)
    session.flush()
    return found


def forget_session(session: Session, hash_: str) -> None:
    """The person signed out here; what the provider would be asked with is not kept longer than it is good for."""
    row = session.get(ForeignSession, hash_)
    if row is not None and not families.of_session(session, hash_):
        session.delete(row)


def people_of(session: Session, provider: str) -> list[Person]:
    """Everybody enabled who signed in there."""
    return list(
        session.exec(select(Person).where(Person.provider == provider, col(Person.disabled_at).is_(None))).all()
    )


def handle_for(login: str, provider: str) -> str:
    """What policy will call somebody, if nobody is called so already: `{login}@{provider}`."""
    name = _NOT_IN_A_HANDLE.sub("-", login.strip().lower().replace("@", "."))[:_LONGEST_LOGIN].strip("-._+")
    return f"{name or 'person'}@{provider}"


def make(session: Session, provider: str, identity: ExternalIdentity, now: float) -> Person:
    """Somebody who was not known before; in no group."""
    person = Person(
        id=f"usr_{secrets.token_hex(16)}",
        issuer=identity.issuer,
        subject=identity.subject,
        handle=_free_handle(session, identity.login or identity.subject, provider),
        name=plain(identity.name) or plain(identity.login),
        provider=provider,
        created_at=now,
    )
    session.add(person)
    session.flush()
    return person


def _free_handle(session: Session, login: str, provider: str) -> str:
    """Rows of people are never deleted, so a handle is never given to somebody else."""
    name, _, at = handle_for(login, provider).rpartition("@")
    alike = (
        col(Person.handle).startswith(name, autoescape=True),
        col(Person.handle).endswith(f"@{at}", autoescape=True),
    )
    taken = set(session.exec(select(Person.handle).where(*alike)))
    number, handle = 1, f"{name}@{at}"
    while handle in taken:
        number += 1
        handle = f"{name}.{number}@{at}"
    return handle


def _named(session: Session, provider: str, ended: Ended) -> list[ForeignSession]:
    query = select(ForeignSession).where(ForeignSession.provider == provider)
    if ended.session:
        query = query.where(ForeignSession.name == ended.session)
    if ended.subject:
        person = find(session, ended.issuer, ended.subject)
        query = query.where(ForeignSession.person == (person.id if person else ""))
    return list(session.exec(query)) if ended.session or ended.subject else []


def _is_name(text: str) -> bool:
    """What can name somebody in a table, in a record and in an index."""
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()


def plain(text: str) -> str:
    """One line of what can be printed: pages and tables show it."""
    return "".join(char for char in text if char.isprintable())[:_LONGEST_TEXT].strip()
