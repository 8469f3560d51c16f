"""What a provider gave us of a session: kept sealed, to ask again, to sign out there, and to hear that it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.fingerprints import fingerprint
from authz.tables import ForeignSession

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.tables import Person
    from gateway.identity.providers import Opened
    from gateway.office import Office
    from idp_adapters.contract import ExternalIdentity


def keep_session(
    session: Session, office: Office, token: str, opened: Opened, person: Person, identity: ExternalIdentity, now: float
) -> None:
    """`token` is the cookie of the session that begins."""
    hash_ = fingerprint(token)
    session.add(
        ForeignSession(
            session=hash_,
            provider=opened.slug,
            person=person.id,
            name=identity.session,
            keep=sealed(office, hash_, identity.keep),
            asked_at=now,
            until=now + office.settings.session_life + office.settings.refresh_life,  # of what began at its very end
        )
    )


def sealed(office: Office, session: str, keep: bytes) -> bytes:
    """Empty stays empty: there is nothing to ask with."""
    return office.vault.wrap(_context(session), keep) if keep else b""


def kept(office: Office, row: ForeignSession) -> bytes:
    """What the adapter wanted back."""
    return office.vault.unwrap(_context(row.session), row.keep) if row.keep else b""


def _context(session: str) -> bytes:
    return b"foreign-session:" + session.encode()
