"""People on their way to an authorization server and back: once, within ten minutes, as themselves (T-30).

Everything works inside the caller's transaction. What the token request needs is sealed under the state, which only the
browser and the authorization server know, together with all that the row says; a row that is stolen opens nothing, and
one that was changed does not open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlmodel import Session, col, delete

from authz.fingerprints import fingerprint
from gateway.credentials import Refused
from registry.errors import SecretRefused
from registry.tables import PendingConnect

if TYPE_CHECKING:
    from registry.secrets.vault import Vault

LIFE: Final = 600.0  # seconds in which somebody has to have agreed there
_WORDS: Final = (
    "this connection was not begun in this browser by the person who is signed in, is finished already, or took "
    "longer than ten minutes; begin it anew"
)


class ConnectRefused(Refused):
    """What a browser brought back is not what was awaited. `reason` is a machine word for the record."""

    def __init__(self, reason: str, words: str = _WORDS) -> None:
        super().__init__(words)
        self.reason = reason


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """What the token request needs. Not shown to anybody, in no repr.

    `key` is what the tokens are to be bound to, and `bound` says that no other will do. `named` says that the
    authorization server promised to say who it is: it cannot take that back while somebody is on the way.
    """

    verifier: str
    client_id: str
    redirect_uri: str
    resource: str  # whom the token is for
    parameter: str  # what is said of that
    scopes: tuple[str, ...]
    key: bytes = b""
    bound: bool = False
    named: bool = False

    def __repr__(self) -> str:
        return f"Journey(resource={self.resource!r})"


def remember(session: Session, vault: Vault, state: str, row: PendingConnect, journey: Journey) -> None:
    """`row` without its key and its sealed part; its `browser` as the browser has it."""
    row.state, row.browser = fingerprint(state), fingerprint(row.browser)
    row.sealed = vault.wrap(_context(state, row), msgspec.json.encode(journey))
    session.add(row)


def is_awaited(session: Session, state: str) -> bool:
    """Whether somebody is away with this state; so that what somebody made up is not a reason to write."""
    return bool(state) and session.get(PendingConnect, fingerprint(state)) is not None


def take(session: Session, state: str) -> PendingConnect:
    """Its one use, whoever presents it. Raises ConnectRefused; the caller commits even then."""
    row = session.get(PendingConnect, fingerprint(state)) if state else None
    if row is None:
        raise ConnectRefused("state_unknown")
    session.expunge(row)
    gone = session.execute(delete(PendingConnect).where(col(PendingConnect.state) == row.state))
    if not gone.rowcount:  # type: ignore[attr-defined]
        raise ConnectRefused("state_unknown")  # of two that present the same at once, one took it
    return row


def check(row: PendingConnect, *, slug: str, browser: str, person: str, now: float) -> None:
    """That it came back where it was to, to whom, and in time."""
    if row.server != slug:
        raise ConnectRefused("other_server")
    if not browser or row.browser != fingerprint(browser):
        raise ConnectRefused("other_browser")
    if not person or row.person != person:
        raise ConnectRefused("other_person")
    if row.expires_at <= now:
        raise ConnectRefused("too_late")


def opened(vault: Vault, state: str, row: PendingConnect) -> Journey:
    try:
        return msgspec.json.decode(vault.unwrap(_context(state, row), row.sealed), type=Journey)
    except SecretRefused as refused:
        raise ConnectRefused("tampered") from refused


def sweep(session: Session, now: float) -> None:
    """Forgets who did not come back."""
    session.execute(delete(PendingConnect).where(col(PendingConnect.expires_at) < now))


def _context(state: str, row: PendingConnect) -> bytes:
    said = [state, row.server, row.subject, row.person, row.browser, row.issuer, row.back_to, row.expires_at]
    return b"connect:" + msgspec.json.encode(said)
