"""Devices without a browser ask, a person answers elsewhere (RFC 8628).

Both codes are stored as hashes. The user code is short, because people type it: 34 bits that live ten minutes, and
whoever tries codes is counted (section 5.1).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import select

from authz.fingerprints import fingerprint
from authz.tables import DeviceGrant
from authz.tokens.families import lock_person

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.people.sessions import SignedIn

LIFE = 600.0  # seconds
INTERVAL = 5.0  # seconds between two polls, until a client is told to slow down
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # section 6.1: no vowels, so no words; no digits, so no O and 0
ALLOWED, DENIED = "allowed", "denied"


@dataclass(frozen=True, slots=True)
class Begun:
    """What the device is told; `repr` keeps both codes to itself."""

    device_code: str
    user_code: str

    def __repr__(self) -> str:
        return "Begun()"


def begin(session: Session, client: str, resource: str, scope: str, now: float) -> Begun:
    """A question that waits for its person."""
    begun = Begun("ost_dc_" + secrets.token_urlsafe(32), "".join(secrets.choice(LETTERS) for _ in range(8)))
    session.add(
        DeviceGrant(
            hash=fingerprint(begun.device_code),
            user_code=fingerprint(begun.user_code),
            client=client,
            resource=resource,
            scope=scope,
            created_at=now,
            expires_at=now + LIFE,
            interval=INTERVAL,
        )
    )
    session.flush()
    return begun


def letters(typed: str) -> str:
    """The code in what somebody typed, however they wrote it (section 6.1)."""
    return "".join(letter for letter in typed.upper() if letter in LETTERS)


def spoken(user_code: str) -> str:
    """As people read it: two groups of four."""
    return f"{user_code[:4]}-{user_code[4:]}"


def waiting(session: Session, typed: str, now: float) -> DeviceGrant | None:
    """The question behind a code as somebody typed it, if it still waits for its answer."""
    row = session.exec(select(DeviceGrant).where(DeviceGrant.user_code == fingerprint(letters(typed)))).one_or_none()
    return row if row is not None and not row.answer and row.expires_at > now else None


def settle(session: Session, row: DeviceGrant, me: SignedIn, answer: str) -> None:
    """The person's answer, once. The row is locked: of two answers at the same time the first counts."""
    session.refresh(row, with_for_update=True)
    if row.answer:
        return
    row.answer, row.person, row.session = answer, me.person.id, me.session
    row.auth_time, row.acr, row.amr = me.auth_time, me.acr, me.amr
    session.add(row)


def presented(session: Session, device_code: str, client: str) -> DeviceGrant | None:
    """The question that this client asked, locked, so that of two polls one gets the tokens."""
    row = session.get(DeviceGrant, fingerprint(device_code), with_for_update=True, populate_existing=True)
    if row is None or row.client != client:
        return None
    if row.person:
        lock_person(session, row.person)
    return row


def too_soon(row: DeviceGrant, now: float) -> bool:
    """Whether this poll came before the interval was over; then the interval grows by five seconds (section 3.5)."""
    early = now - row.polled_at < row.interval - 0.5  # a timer that runs a little fast is not impatience
    row.polled_at = now
    row.interval += 5.0 if early else 0.0
    return early
