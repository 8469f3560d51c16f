"""Personal tokens, for clients that cannot do OAuth: opaque, long, of one person, for one resource and some scopes.

They are known by their prefix and by nothing else: what begins with it is judged here or refused (T-01).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlmodel import col, select

from authz.errors import AccountRefused
from authz.fingerprints import fingerprint
from authz.principals import VerifiedClaims
from authz.scopes import parse_scope, write_scope
from authz.tables import PersonalToken
from authz.tokens.cutoffs import Cut, cut_off

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlmodel import Session

PREFIX: Final = "ost_pat_"
CLIENT: Final = "ostiary-personal"  # the client id of calls that are made with one
DAY: Final = 86400.0
DAYS, MOST_DAYS = 30, 90
MOST: Final = 50  # that one person may hold
LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Personal:
    """A personal token as a snapshot knows it."""

    id: str
    person: str
    scope: str
    resource: str
    created_at: float
    expires_at: float

    def claims(self, issuer: str) -> VerifiedClaims:
        """What it stands for, in the words of a token that is signed."""
        return VerifiedClaims(
            {
                "iss": issuer, "sub": self.person, "aud": self.resource, "client_id": CLIENT, "scope": self.scope,
                "iat": int(self.created_at), "exp": int(self.expires_at), "jti": self.id,
            }
        )  # fmt: skip


def load_personal(session: Session) -> Mapping[str, Personal]:
    """All that were not ended, by SHA-256. What has expired is refused when it comes."""
    rows = session.exec(select(PersonalToken).where(col(PersonalToken.ended_at).is_(None)))
    return {
        row.hash: Personal(
            id=row.id,
            person=row.person,
            scope=row.scope,
            resource=row.resource,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
        for row in rows
    }


def make(
    session: Session, person: str, name: str, *, scope: str, resource: str, days: int, now: float
) -> tuple[PersonalToken, str]:
    """A token and its secret, which is shown once. The caller moves the epoch of `Concern.PERSONAL`."""
    shown = " ".join("".join(char if char.isprintable() else " " for char in name).split())[:LONGEST_NAME]
    if not shown:
        raise AccountRefused("give the token a name, so that you know later what it is for")
    if not 1 <= days <= MOST_DAYS:
        raise AccountRefused(f"a personal token lives 1 to {MOST_DAYS} days")
    if len(alive(session, person, now)) >= MOST:
        raise AccountRefused(f"nobody may hold more than {MOST} personal tokens; end some")
    token = PREFIX + secrets.token_urlsafe(32)
    row = PersonalToken(
        id=f"pat_{secrets.token_hex(8)}",
        hash=fingerprint(token),
        person=person,
        name=shown,
        scope=write_scope(parse_scope(scope)),
        resource=resource,
        created_at=now,
        expires_at=now + days * DAY,
    )
    session.add(row)
    session.flush()
    return row, token


def alive(session: Session, person: str, now: float) -> Sequence[PersonalToken]:
    """Those of a person that work, the newest first."""
    return session.exec(
        select(PersonalToken)
        .where(PersonalToken.person == person, col(PersonalToken.ended_at).is_(None), PersonalToken.expires_at > now)
        .order_by(col(PersonalToken.created_at).desc())
    ).all()


def end(session: Session, row: PersonalToken, now: float) -> None:
    """It works no longer, nor does what it has open. The caller moves `Concern.PERSONAL` and `Concern.CUTOFFS`."""
    row.ended_at = now
    session.add(row)
    cut_off(session, Cut.TOKEN, row.id, now=now)


def find(session: Session, id_: str) -> PersonalToken:
    """By the id that lists show. Raises AccountRefused."""
    row = session.exec(select(PersonalToken).where(PersonalToken.id == id_)).one_or_none()
    if row is None or row.ended_at is not None:
        raise AccountRefused(f"there is no personal token {id_!r}; `ostiary token list` shows those there are")
    return row


def note_uses(session: Session, uses: Mapping[str, float]) -> None:
    """When each was last used, by id; written by a task of its own, never by a call."""
    for row in session.exec(select(PersonalToken).where(col(PersonalToken.id).in_(list(uses)))):
        row.last_used_at = max(uses[row.id], row.last_used_at or 0)
        session.add(row)
