"""What a provider gave us of a session: kept sealed, to ask again, to sign out there, and to hear that it ended."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlmodel import col, select

from authz.fingerprints import fingerprint
from authz.ids import fresh_id
from authz.tables import BrowserSession, ForeignSession, RefreshToken
from idp_adapters.contract import ProviderDown
from registry import leases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlmodel import Session

    from authz.tables import Person
    from gateway.identity.providers import Opened
    from gateway.office import Office
    from idp_adapters.contract import ExternalIdentity

ALONE: Final = 45.0  # seconds; longer than a provider is waited for
PATIENCE: Final = 15.0  # seconds that somebody waits for another to be done
LOOK: Final = 0.05  # seconds between two looks whether they are


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


def is_used(session: Session, row: ForeignSession, now: float) -> bool:
    """Whether a browser or a client still lives by it: nobody is asked about who is not here."""
    browser = session.get(BrowserSession, row.session)
    if browser is not None and browser.expires_at > now:
        return True
    alive = (RefreshToken.session == row.session, col(RefreshToken.ended_at).is_(None), RefreshToken.expires_at > now)
    return session.exec(select(RefreshToken.hash).where(*alive).limit(1)).first() is not None


@contextmanager
def one_at_a_time(office: Office, session: str) -> Iterator[None]:
    """While the block runs nobody else, in any process, asks with what is kept of this session: what renews it may be
    good for one use. Raises ProviderDown where somebody else takes too long.
    """
    name, holder = f"sign-in:{session}", fresh_id()
    deadline = time.monotonic() + PATIENCE
    while not leases.take(office.database, name, holder, ALONE):
        if time.monotonic() > deadline:
            raise ProviderDown("busy", "somebody else is asking the identity provider about this sign-in; try again")
        time.sleep(LOOK)
    try:
        yield
    finally:
        leases.give_back(office.database, name, holder)


def _context(session: str) -> bytes:
    return b"foreign-session:" + session.encode()
