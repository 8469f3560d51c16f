"""The identity providers that are stored, and what their claims mean here. Their people are `authz.people.external`'s.

Everything works inside the caller's transaction, which moves the epochs of `Concern.PEOPLE` and, where people end, of
`Concern.CUTOFFS`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlmodel import Session, col, delete, select

from authz import grammar
from authz.errors import AccountRefused
from authz.people import external, provisioning
from authz.people.accounts import add_group, find_group
from authz.principals import ADMINS
from authz.tables import ClaimMapping, ForeignSession, Group, Membership, PendingSignIn, Person, Provider, TrustedIssuer
from registry.database import upsert

if TYPE_CHECKING:
    from collections.abc import Collection

_SLUG: Final = re.compile(grammar.SLUG)
_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_LONGEST: Final = 256


def put(
    session: Session,
    slug: str,
    kind: str,
    config: dict[str, Any],
    *,
    title: str = "",
    domains: Collection[str] = (),
    declared: bool = False,
    now: float,
) -> Provider:
    """Stores a provider, or what has changed of it; its configuration was read before. Raises AccountRefused."""
    row = session.get(Provider, slug) or Provider(slug=_slug(slug), kind=kind, created_at=now)
    if row.kind != kind:
        raise AccountRefused(f"{slug} is of the kind {row.kind}: remove it first, or choose another name")
    row.title, row.domains = _line(title, "title"), sorted({_domain(session, slug, domain) for domain in domains})
    row.config, row.declared = config, declared
    session.add(row)
    session.flush()
    return row


def find(session: Session, slug: str) -> Provider:
    row = session.get(Provider, slug)
    if row is None:
        raise AccountRefused(f"there is no identity provider {slug!r}; `ostiary idp list` shows those there are")
    return row


def changeable(session: Session, slug: str) -> Provider:
    """The provider, if it may be changed here and not in the operator's file alone."""
    row = find(session, slug)
    if row.declared:
        raise AccountRefused(f"{slug} stands in the configuration file: change it there and start again")
    return row


def disable(session: Session, row: Provider, now: float) -> int:
    """Nobody signs in there any more, and what its people have ends; how many they are."""
    row.disabled_at = now
    session.add(row)
    return _dismiss(session, row.slug, now)


def enable(session: Session, row: Provider) -> None:
    """Its people sign in again, and are who they were."""
    row.disabled_at = None
    session.add(row)


def remove(session: Session, row: Provider, now: float) -> int:
    """Its people stay, disabled, so that their names are never given to others; the secrets are the caller's.

    What else stood in its name goes with it: whoever is called so later has none of it.
    """
    ended = _dismiss(session, row.slug, now)
    provisioning.forget(session, row.slug)
    for table in (ClaimMapping, PendingSignIn, ForeignSession, TrustedIssuer):
        session.execute(delete(table).where(col(table.provider) == row.slug))
    session.delete(row)
    session.flush()
    return ended


def add_mapping(session: Session, slug: str, claim: str, value: str, group: str) -> None:
    """From the next sign-in on, whoever has `value` among `claim` is in `group`."""
    find(session, slug)
    if group == ADMINS and session.get(Group, ADMINS) is None:
        add_group(session, ADMINS)
    find_group(session, group)
    key = {"claim": _line(claim, "claim"), "value": _line(value, "value", 1024)}
    if not all(key.values()):
        raise AccountRefused("a mapping needs a claim and a value of it")
    upsert(session, ClaimMapping(provider=slug, group=group, **key))


def remove_mapping(session: Session, slug: str, claim: str, value: str, group: str) -> None:
    """At once: the provider's people leave the group, and those whom another mapping puts there come back with it."""
    row = session.get(ClaimMapping, (find(session, slug).slug, claim, value, group))
    if row is None:
        raise AccountRefused(f"{slug} has no such mapping; `ostiary idp mappings {slug}` shows those it has")
    session.delete(row)
    people = select(Person.id).where(Person.provider == slug)
    session.execute(
        delete(Membership).where(
            col(Membership.group) == group, col(Membership.mapped).is_(True), col(Membership.member).in_(people)
        )
    )
    provisioning.reconcile(session, find(session, slug))


def mappings(session: Session, slug: str) -> list[ClaimMapping]:
    rows = session.exec(select(ClaimMapping).where(ClaimMapping.provider == slug))
    return sorted(rows, key=lambda row: (row.claim, row.value, row.group))


def _dismiss(session: Session, slug: str, now: float) -> int:
    people = external.people_of(session, slug)
    for person in people:
        external.disappear(session, slug, person, now)
    return len(people)


def _slug(slug: str) -> str:
    if _SLUG.fullmatch(slug) is None:
        raise AccountRefused(f"{slug[:80]!r} is not a name for a provider: 1 to 64 of a-z 0-9 and -")
    return slug


def _domain(session: Session, slug: str, domain: str) -> str:
    """Of a mail domain there is one provider, so that an address leads to one place."""
    name = domain.strip().lower().lstrip("@")
    if _DOMAIN.fullmatch(name) is None:
        raise AccountRefused(f"{domain[:80]!r} is not a mail domain, such as corp.example")
    for other in session.exec(select(Provider).where(Provider.slug != slug)):
        if name in other.domains:
            raise AccountRefused(f"{name} leads to {other.slug} already")
    return name


def _line(text: str, what: str, longest: int = _LONGEST) -> str:
    if len(text) > longest or not (text.isprintable() or not text):
        raise AccountRefused(f"{what}: at most {longest} printable characters on one line")
    return text.strip()
