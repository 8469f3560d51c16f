"""People and groups that a provider keeps here by itself (SCIM): who they are to us, and when they cease to be.

Everything works inside the caller's transaction, which moves the epochs of `Concern.PEOPLE` and `Concern.CUTOFFS`.
A SCIM client speaks for the people of its own provider and for nobody else, and puts them only into groups that an
administrator mapped; never among the administrators.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from sqlmodel import col, delete, select

from authz.errors import AccountRefused, SignInRefused
from authz.fingerprints import fingerprint
from authz.people import external
from authz.principals import ADMINS
from authz.tables import ClaimMapping, Group, Membership, Person, Provider, ScimResource, ScimToken
from idp_adapters.contract import GROUPS, ExternalIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

PREFIX: Final = "ost_scim_"
DAY: Final = 86400.0
DAYS, MOST_DAYS = 365, 730
USER, GROUP = "User", "Group"
_DEEPEST: Final = 8  # groups within groups


def make_token(session: Session, provider: Provider, days: int, now: float) -> tuple[ScimToken, str]:
    """A token for the provider's SCIM client, and its secret, which is shown once."""
    if issuer_of(provider) == "":
        raise AccountRefused(
            f"{provider.slug} has people of several tenants: a SCIM client speaks for one, so add it as a provider"
        )
    token = PREFIX + secrets.token_urlsafe(32)
    row = ScimToken(
        id=f"sct_{secrets.token_hex(8)}",
        hash=fingerprint(token),
        provider=provider.slug,
        created_at=now,
        expires_at=now + days * DAY,
    )
    session.add(row)
    session.flush()
    return row, token


def provider_of(session: Session, token: str, now: float) -> Provider | None:
    """Whose SCIM client presents `token`; None for anything that is not one, has ended, or whose provider is off."""
    row = session.get(ScimToken, fingerprint(token)) if token.startswith(PREFIX) else None
    if row is None or row.ended_at is not None or row.expires_at <= now:
        return None
    provider = session.get(Provider, row.provider)
    return provider if provider is not None and provider.disabled_at is None else None


def issuer_of(provider: Provider) -> str:
    """Under which issuer the provider's people are known when they sign in; empty where there are several."""
    config = provider.config
    if provider.kind == "oidc":
        return str(config.get("issuer", ""))
    if provider.kind == "saml":
        return str(config.get("entity_id", ""))
    if provider.kind == "ldap":
        return f"ldap:{provider.slug}"
    tenants = config.get("tenants") or [config.get("tenant", "")]
    authority = config.get("authority", "https://login.microsoftonline.com")
    return f"{authority}/{tenants[0]}/v2.0" if len(tenants) == 1 else ""


def forget(session: Session, provider: str) -> None:
    """The provider is removed: a later one of the same name begins with nobody, and its people with no groups of it."""
    for table in (ScimToken, ScimResource):
        session.execute(delete(table).where(col(table.provider) == provider))
    people = select(Person.id).where(Person.provider == provider)
    held = (col(Membership.provisioned).is_(True), col(Membership.member).in_(people))
    session.execute(delete(Membership).where(*held))


def apply_user(session: Session, provider: Provider, row: ScimResource, now: float) -> Person:
    """Makes the person what their document says, and gives them back what ended by it. Ends what must end."""
    person = _person(session, provider, row, now)
    row.person = person.id
    session.add(row)
    by = _by(provider)
    if not row.document.get("active", True):
        dismiss(session, provider, person, now)
    elif person.disabled_by == by:
        person.disabled_at, person.disabled_by = None, ""
        session.add(person)
    session.flush()
    return person


def dismiss(session: Session, provider: Provider, person: Person, now: float) -> None:
    """They have left: every session, token, delegation and group ends, and no sign-in brings them back."""
    if person.disabled_at is None or person.disabled_by != "":
        external.disappear(session, provider.slug, person, now)
        person.disabled_by = _by(provider)
        session.add(person)
    for membership in _provisioned(session, col(Membership.member) == person.id):
        session.delete(membership)
    session.flush()


def reconcile(session: Session, provider: Provider) -> None:
    """Makes memberships what the provider's groups and the mappings say; what others gave stays."""
    wanted = set(_wanted(session, provider))
    people = select(ScimResource.person).where(ScimResource.provider == provider.slug, ScimResource.kind == USER)
    given = _provisioned(session, col(Membership.member).in_(people))
    for membership in given:
        if (membership.member, membership.group) not in wanted:
            session.delete(membership)
    for person, group in sorted(wanted):
        held = session.get(Membership, (person, group))
        if held is None:
            session.add(Membership(member=person, group=group, provisioned=True))
        elif held.mapped:  # a sign-in's would end; the provider says that it stays
            held.mapped, held.provisioned, held.until = False, True, None
            session.add(held)
    session.flush()


def _person(session: Session, provider: Provider, row: ScimResource, now: float) -> Person:
    """By (issuer, externalId), which is who they are when they sign in; until one is known, somebody of SCIM alone."""
    issuer, subject = (issuer_of(provider), row.external_id) if row.external_id else (f"scim:{provider.slug}", row.id)
    found = external.find(session, issuer, subject)
    before = session.get(Person, row.person) if row.person else None
    if found is None and before is not None and before.issuer == f"scim:{provider.slug}":
        before.issuer, before.subject = issuer, subject  # the same, now that we know whom they sign in as
        found = before
    if before is not None and found is not None and before.id != found.id:
        dismiss(session, provider, before, now)  # the document is about somebody else now
    person = found or external.make(session, provider.slug, _identity(row, issuer, subject, now), now)
    _claim(session, provider, person)
    person.name = external.plain(_text(row.document.get("displayName"))) or person.name
    person.email = external.plain(_email(row.document))
    session.add(person)
    session.flush()
    return person


def _claim(session: Session, provider: Provider, person: Person) -> None:
    """Two providers may have one issuer: then a subject of it is not yet one of this provider's people."""
    try:
        external.claim(session, provider.slug, person)
    except SignInRefused as refused:
        raise AccountRefused("externalId: that is somebody whom another identity provider vouches for") from refused


def _identity(row: ScimResource, issuer: str, subject: str, now: float) -> ExternalIdentity:
    document = row.document
    return ExternalIdentity(
        issuer=issuer,
        subject=subject,
        login=_text(document.get("userName")),
        name=_text(document.get("displayName")),
        email=_email(document),
        authenticated_at=now,
    )


def _wanted(session: Session, provider: Provider) -> Iterator[tuple[str, str]]:
    """Every (person, group of ours) that the provider's groups lead to."""
    mappings: dict[str, set[str]] = {}
    for mapping, _ in session.exec(
        select(ClaimMapping, Group)
        .join(Group, col(Group.name) == col(ClaimMapping.group))
        .where(ClaimMapping.provider == provider.slug, ClaimMapping.claim == GROUPS)
    ):
        mappings.setdefault(mapping.value, set()).add(mapping.group)
    if not mappings:
        return
    groups = {row.id: row for row in _groups(session, provider.slug)}
    people = _people(session, provider.slug)
    for row in groups.values():
        names = {_text(row.document.get("displayName")), row.external_id, row.id}
        ours = set().union(*(mappings.get(name, set()) for name in names if name)) - {ADMINS}
        for user in _members(row, groups) if ours else ():
            for group in ours if user in people else ():
                yield people[user], group


def _people(session: Session, provider: str) -> dict[str, str]:
    """Who its users are here, by the ids of the users; without those who are disabled."""
    rows = (
        select(ScimResource.id, ScimResource.person)
        .join(Person, col(Person.id) == col(ScimResource.person))
        .where(ScimResource.provider == provider, ScimResource.kind == USER, col(Person.disabled_at).is_(None))
    )
    return dict(session.exec(rows).all())


def _members(row: ScimResource, groups: dict[str, ScimResource]) -> set[str]:
    """The ids of its users, also those of groups within it; a circle ends where it began."""
    found: set[str] = set()
    seen, level = {row.id}, [row]
    for _ in range(_DEEPEST):
        values = {str(member.get("value")) for group in level for member in group.document.get("members") or ()}
        found |= values - groups.keys()
        level = [groups[value] for value in values & groups.keys() - seen]
        seen |= values
        if not level:
            break
    return found


def _groups(session: Session, provider: str) -> list[ScimResource]:
    return list(session.exec(select(ScimResource).where(ScimResource.provider == provider, ScimResource.kind == GROUP)))


def _provisioned(session: Session, whose: Any) -> list[Membership]:
    return list(session.exec(select(Membership).where(col(Membership.provisioned).is_(True), whose)))


def _by(provider: Provider) -> str:
    return f"scim:{provider.slug}"


def _email(document: dict[str, Any]) -> str:
    """The primary address, or the first."""
    emails = [email for email in document.get("emails") or () if isinstance(email, dict)]
    chosen = next((email for email in emails if email.get("primary")), emails[0] if emails else {})
    return _text(chosen.get("value"))


def _text(value: Any) -> str:
    return value.strip()[:256] if isinstance(value, str) else ""
