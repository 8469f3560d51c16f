"""What a sign-in is good for elsewhere, borrowed from the identity provider for as long as the sign-in lasts.

The newest of a person's sign-ins at that provider counts whose browser or client is still here; so an agent under a
delegation, and a personal token, act with it while there is one, and whoever signs in again is served at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sqlmodel import col, select

from authz.tables import ForeignSession, Person
from gateway.identity.keeping import is_used, kept, one_at_a_time, sealed
from idp_adapters.contract import IdentityRefused, ProviderDown, Renewing
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.identity.providers import Opened, Providers
    from gateway.office import Office
    from idp_adapters.contract import Lent

SIGN_INS: Final = 3  # of one person that are tried, the newest first
NOBODY: Final = "there is no sign-in of this person there any more"


def borrow(
    office: Office, providers: Providers, person: str, slug: str, ask: Callable[[Opened, bytes], Lent | None]
) -> Lent:
    """What `ask` is lent by the provider `slug` for `person`. Raises IdentityRefused where they have to sign in again,
    ProviderDown where that would not help.
    """
    opened = providers.get(slug)
    refusal = IdentityRefused("no_sign_in", NOBODY)
    for session in _sign_ins(office, person, slug):
        try:
            return _borrowed(office, opened, session, ask)
        except IdentityRefused as refused:
            refusal = refused
    raise refusal


def _sign_ins(office: Office, person: str, slug: str) -> list[str]:
    now = time.time()
    with office.database.read() as session:
        found = select(ForeignSession).where(
            ForeignSession.person == person,
            ForeignSession.provider == slug,
            ForeignSession.keep != b"",
            ForeignSession.until > now,
        )
        rows = session.exec(found.order_by(col(ForeignSession.asked_at).desc()).limit(4 * SIGN_INS))
        return [row.session for row in rows if is_used(session, row, now)][:SIGN_INS]


def _borrowed(office: Office, opened: Opened, hash_: str, ask: Callable[[Opened, bytes], Lent | None]) -> Lent:
    """By one at a time: what renews a sign-in is often good for one use (RFC 9700 section 4.14.2)."""
    with one_at_a_time(office, hash_):
        keep = _kept(office, hash_)
        lent = ask(opened, keep)
        if lent is None:
            lent = ask(opened, _renewed(office, opened, hash_, keep))
    if lent is None:
        raise IdentityRefused("run_out", "the identity provider renews this sign-in without what is needed")
    return lent


def _kept(office: Office, hash_: str) -> bytes:
    with office.database.read() as session:
        row = session.get(ForeignSession, hash_)
        try:
            keep = kept(office, row) if row is not None else b""
        except SecretRefused as refused:  # sealed under a key that is gone, or not its own (T-92)
            raise IdentityRefused("kept", NOBODY) from refused
    if not keep:
        raise IdentityRefused("no_sign_in", NOBODY)
    return keep


def _renewed(office: Office, opened: Opened, hash_: str, keep: bytes) -> bytes:
    """Stored before anything else is done with it: what it was renewed with may be worth nothing now."""
    if not isinstance(opened.adapter, Renewing):
        raise IdentityRefused("not_renewable", "this sign-in cannot be renewed without the person")
    try:
        identity = opened.adapter.renew(keep)
    except ProviderDown as down:
        if down.reason == "not_renewable":
            raise IdentityRefused(down.reason, str(down)) from down
        raise
    with office.database.change() as session:
        row = session.get(ForeignSession, hash_)
        person = session.get(Person, row.person) if row is not None else None
        if row is None or person is None or (identity.issuer, identity.subject) != (person.issuer, person.subject):
            raise IdentityRefused("other_subject", NOBODY)
        row.keep = sealed(office, hash_, identity.keep)
    return identity.keep
