"""Browsers that were sent to an identity provider and have to come back: once, within ten minutes, as themselves.

Everything works inside the caller's transaction. What is remembered is sealed under its state, which only the browser
and the provider know; a row that is stolen opens nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec
from sqlmodel import Session, col, delete, select

from authz.errors import ReturnRefused
from authz.fingerprints import fingerprint
from authz.tables import PendingSignIn
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.secrets.vault import Vault

LIFE: Final = 600.0  # seconds in which somebody has to have signed in at the provider (T-24)
TICKET_LIFE: Final = 60.0  # seconds in which a browser follows a redirect


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """What was remembered of a browser: where it wanted to go, and what the adapter kept to compare."""

    following: str
    kept: Mapping[str, str]


def remember(
    session: Session, vault: Vault, state: str, *, browser: str, provider: str, journey: Journey, now: float
) -> None:
    """`browser` is the value of the cookie that it has to come back with."""
    session.add(
        PendingSignIn(
            hash=fingerprint(state),
            browser=fingerprint(browser),
            provider=provider,
            kept=vault.wrap(_context(state), msgspec.json.encode([journey.following, dict(journey.kept)])),
            expires_at=now + LIFE,
        )
    )


def awaited(session: Session, state: str) -> bool:
    """Whether a browser is away with this state; so that what somebody made up is not a reason to write."""
    return bool(state) and session.get(PendingSignIn, fingerprint(state)) is not None


def has_answer(session: Session, ticket: str) -> bool:
    """The same of an answer that was parked."""
    found = select(PendingSignIn.hash).where(PendingSignIn.ticket == fingerprint(ticket))
    return bool(ticket) and session.exec(found).first() is not None


def take(session: Session, vault: Vault, state: str, *, browser: str, provider: str, now: float) -> Journey:
    """Its one use, whoever presents it. Raises ReturnRefused; the caller commits even then."""
    row = session.get(PendingSignIn, fingerprint(state)) if state else None
    if row is None or row.ticket or not _spend(session, row):
        raise ReturnRefused("state_unknown")
    _check(row, browser, provider, now)
    return _journey(_opened(vault, state, row.kept))


def park(
    session: Session, vault: Vault, state: str, *, provider: str, answer: Mapping[str, str], now: float
) -> str | None:
    """An answer that came by a post from another site, without the cookie. Gives the ticket to fetch it with, once.

    None when the state is nobody's: nothing is kept for strangers.
    """
    row = session.get(PendingSignIn, fingerprint(state), with_for_update=True) if state else None
    if row is None or row.ticket or row.provider != provider or row.expires_at <= now:
        return None
    ticket = secrets.token_urlsafe(32)
    row.ticket, row.expires_at = fingerprint(ticket), now + TICKET_LIFE
    row.answer = vault.wrap(_context(ticket), msgspec.json.encode([state, dict(answer)]))
    session.add(row)
    return ticket


def fetch(
    session: Session, vault: Vault, ticket: str, *, browser: str, provider: str, now: float
) -> tuple[Journey, dict[str, str]]:
    """What was parked, and where its browser wanted to go. Raises ReturnRefused; the caller commits even then."""
    found = select(PendingSignIn).where(PendingSignIn.ticket == fingerprint(ticket))
    row = session.exec(found).one_or_none() if ticket else None
    if row is None or not _spend(session, row):
        raise ReturnRefused("ticket_unknown")
    _check(row, browser, provider, now)
    state, answer = msgspec.json.decode(_opened(vault, ticket, row.answer), type=tuple[str, dict[str, str]])
    return _journey(_opened(vault, state, row.kept)), answer


def sweep(session: Session, now: float) -> None:
    """Forgets who did not come back."""
    session.execute(delete(PendingSignIn).where(col(PendingSignIn.expires_at) < now))


def _spend(session: Session, row: PendingSignIn) -> bool:
    """Of two that present the same at once, one takes the row away."""
    gone = session.execute(delete(PendingSignIn).where(col(PendingSignIn.hash) == row.hash))
    return bool(gone.rowcount)  # type: ignore[attr-defined]


def _check(row: PendingSignIn, browser: str, provider: str, now: float) -> None:
    if row.provider != provider:
        raise ReturnRefused("other_provider")  # RFC 9700 section 4.4: each provider has an address of its own
    if not browser or row.browser != fingerprint(browser):
        raise ReturnRefused("other_browser")
    if row.expires_at <= now:
        raise ReturnRefused("too_late")


def _opened(vault: Vault, secret: str, sealed: bytes) -> bytes:
    try:
        return vault.unwrap(_context(secret), sealed)
    except SecretRefused as refused:
        raise ReturnRefused("tampered") from refused


def _journey(text: bytes) -> Journey:
    following, kept = msgspec.json.decode(text, type=tuple[str, dict[str, str]])
    return Journey(following=following, kept=kept)


def _context(secret: str) -> bytes:
    return b"signin:" + secret.encode()
