"""Signed-in browsers, and links that work once. Only SHA-256 of what we hand out is stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, delete, select, update

from authz.assurance import Assured
from authz.errors import LinkSpent
from authz.fingerprints import fingerprint
from authz.principals import ADMINS, Member, Principal, VerifiedClaims
from authz.tables import BrowserSession, Membership, OneTimeLink, Person

LINK_LIFE: Final = 900.0
IDLE: Final = 1 / 4  # of a session's life: unused for so long, it ends. What is shorter for all is `session_life`
WORN: Final = 1 / 10  # of that: seldom enough to write down that it is in use
ADMIN_LINK: Final = "admin"
LOCAL_ACR: Final = "1"  # of a password of ours, with or without a second factor: `amr` says which


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A browser that somebody signed in with; `session` is the SHA-256 of its cookie."""

    person: Person
    session: str
    auth_time: float
    expires_at: float
    acr: str = ""
    amr: str = ""
    is_admin: bool = False
    worn: bool = False  # it is time to write down that it is in use

    @property
    def assured(self) -> Assured:
        return Assured(self.acr, frozenset(self.amr.split()), self.auth_time)

    def principal(self, member: Member, resource: str, now: float) -> Principal:
        """Who this is at `resource`, to be asked about; the session is the verified credential."""
        return Principal(
            claims=VerifiedClaims(
                {"sub": self.person.id, "auth_time": int(self.auth_time), "acr": self.acr, "amr": self.amr.split()}
            ),
            issuer=self.person.issuer,
            subject=self.person.id,
            label=member.label,
            subjects=member.subjects(now),
            client="",
            scopes=frozenset({"mcp"}),
            resource=resource,
            expires_at=self.expires_at,
            is_admin=member.administers(now),
        )


def begin_session(
    session: Session,
    person: Person,
    *,
    now: float,
    life: float,
    amr: str,
    address: str,
    acr: str = LOCAL_ACR,
    auth_time: float | None = None,
) -> str:
    """The cookie's value, to be given to the browser that just proved who it is.

    `acr`, `amr` and `auth_time` as in OpenID Connect Core section 2; what is not said was proved here and now.
    """
    token = secrets.token_urlsafe(32)
    session.add(
        BrowserSession(
            hash=fingerprint(token),
            person=person.id,
            created_at=now,
            seen_at=now,
            expires_at=now + life,
            auth_time=now if auth_time is None else max(1.0, min(auth_time, now)),
            acr=acr,
            amr=amr,
            address=address,
        )
    )
    return token


def find_session(session: Session, token: str, now: float) -> SignedIn | None:
    """Who holds the cookie, if the session lives, is in use, and the person is still enabled."""
    found = session.exec(
        select(BrowserSession, Person)
        .join(Person, col(Person.id) == col(BrowserSession.person))
        .where(BrowserSession.hash == fingerprint(token), BrowserSession.expires_at > now)
    ).one_or_none()
    if found is None or found[1].disabled_at is not None:
        return None
    row, person = found
    idle = (row.expires_at - row.created_at) * IDLE
    unused = now - row.seen_at
    if unused > idle:
        return None
    return SignedIn(
        person=person,
        session=row.hash,
        auth_time=row.auth_time or row.created_at,
        expires_at=row.expires_at,
        acr=row.acr,
        amr=row.amr,
        is_admin=administers(session, person, now),
        worn=unused > idle * WORN,
    )


def administers(session: Session, person: Person, now: float) -> bool:
    """Made an administrator here, or by a group, as `Member.administers` has it."""
    row = session.get(Membership, (person.id, ADMINS))
    return person.is_admin or (row is not None and (row.until is None or row.until > now))


def keep_session(session: Session, hash_: str, now: float) -> None:
    """It is in use. For whoever finds it `worn`, so that not every page is a write."""
    session.execute(update(BrowserSession).where(col(BrowserSession.hash) == hash_).values(seen_at=now))


def end_sessions(session: Session, person: str, *, but: str = "") -> None:
    """Ends every browser session of a person, except one if it is named by its hash."""
    session.execute(delete(BrowserSession).where(col(BrowserSession.person) == person, col(BrowserSession.hash) != but))


def end_session(session: Session, hash_: str) -> None:
    session.execute(delete(BrowserSession).where(col(BrowserSession.hash) == hash_))


def make_link(session: Session, purpose: str, now: float, *, person: str = "") -> str:
    """The secret part of a link that works once, for 15 minutes."""
    token = secrets.token_urlsafe(32)
    session.add(OneTimeLink(hash=fingerprint(token), purpose=purpose, person=person, expires_at=now + LINK_LIFE))
    return token


def look_at_link(session: Session, token: str, purpose: str, now: float) -> OneTimeLink | None:
    """The link if it would work; looking does not use it, because previews and scanners follow links too."""
    link = session.get(OneTimeLink, fingerprint(token))
    usable = link is not None and link.purpose == purpose and link.used_at is None and link.expires_at > now
    return link if usable else None


def use_link(session: Session, token: str, purpose: str, now: float) -> None:
    """Its one use; of two at once one wins, the other gets LinkSpent."""
    used = session.execute(
        update(OneTimeLink)
        .where(
            col(OneTimeLink.hash) == fingerprint(token),
            col(OneTimeLink.purpose) == purpose,
            col(OneTimeLink.used_at).is_(None),
            col(OneTimeLink.expires_at) > now,
        )
        .values(used_at=now)
    )
    if used.rowcount != 1:  # type: ignore[attr-defined]
        raise LinkSpent("this link was used already, or is older than 15 minutes")
