"""Codes and refresh tokens. All that one sign-in of one client leads to is a family, and ends together.

Every function works inside a transaction of its caller. Whoever rotates or redeems holds the lock of the person's row,
so of two that present the same secret at once the second sees what the first did, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlmodel import col, select, update

from authz.fingerprints import fingerprint
from authz.tables import Code, DeviceGrant, Person, RefreshToken
from authz.tokens.cutoffs import Cut, cut_off, is_cut

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.secrets.vault import Vault

CODE_LIFE = 60.0  # seconds; OAuth 2.1 section 4.1.2 recommends minutes at most, a browser needs less
AFTER = 60.0  # seconds: an ended family never issues again, so its cut may reach past whatever clocks differ by
GRACE = 10.0  # seconds after a rotation in which the predecessor still leads to the same successor


@dataclass(frozen=True, slots=True)
class Reused:
    """Somebody presented what was spent: the family has been ended."""

    family: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a person allowed a client, as it is carried from code to refresh token to refresh token."""

    client: str
    person: str
    resource: str
    scope: str
    auth_time: float
    acr: str = ""
    amr: str = ""
    session: str = ""  # of the browser in which it was allowed: what ends there ends here
    jkt: str = ""  # the key that has to be proved with it (RFC 9449)


def new_code() -> str:
    return "ost_ac_" + secrets.token_urlsafe(32)


def keep_code(session: Session, code: str, allowed: Allowance, *, redirect_uri: str, challenge: str, now: float) -> str:
    """Remembers an authorization code by its hash; gives the name of the family that it founds."""
    family = secrets.token_urlsafe(16)
    session.add(
        Code(
            hash=fingerprint(code),
            redirect_uri=redirect_uri,
            challenge=challenge,
            family=family,
            expires_at=now + CODE_LIFE,
            **_carried(allowed),
        )
    )
    return family


def redeem(session: Session, code: str, client: str, now: float) -> Code | Reused | None:
    """The code, if this client may have it. Presented a second time it ends its family (RFC 6749 section 4.1.2)."""
    found = session.get(Code, fingerprint(code))
    if found is None or found.client != client:
        return None
    lock_person(session, found.person)
    session.refresh(found)
    if found.used_at is not None:
        end_family(session, found.family, now)
        return Reused(found.family, found.person)
    if found.expires_at <= now or _cut(session, found, found.expires_at - CODE_LIFE):
        return None
    return found


def first_refresh(session: Session, allowed: Allowance, family: str, now: float, life: float) -> str:
    """The first refresh token of a family. `life` is the family's, not only this token's."""
    return _issue(session, allowed, family, now, now + life)


def present(session: Session, token: str, client: str, now: float) -> RefreshToken | Reused | None:
    """The refresh token, if this client may use it now: unspent, or spent within the grace of a racing twin."""
    row = session.get(RefreshToken, fingerprint(token))
    if row is None or row.client != client:
        return None
    lock_person(session, row.person)
    session.refresh(row)
    if row.ended_at is not None or row.expires_at <= now or _cut(session, row, row.created_at):
        return None
    if row.rotated_at is not None and now - row.rotated_at > GRACE:
        end_family(session, row.family, now)
        return Reused(row.family, row.person)
    return row


def successor(session: Session, vault: Vault, row: RefreshToken, token: str, now: float) -> str:
    """The refresh token that follows `token`: made now, or the one that a racing twin has been given already.

    Only who holds the predecessor can have it: the successor is sealed with the predecessor as its context.
    """
    context = b"refresh:" + token.encode()
    if row.successor is not None:
        return vault.unwrap(context, row.successor).decode()
    following = _issue(session, allowance_of(row), row.family, now, row.expires_at)
    row.rotated_at, row.successor = now, vault.wrap(context, following.encode())
    session.add(row)
    return following


def end_family(session: Session, family: str, now: float) -> None:
    """No refresh token of it works any more, nor an access token. The caller moves the epoch of the cut-offs."""
    alive = (col(RefreshToken.family) == family, col(RefreshToken.ended_at).is_(None))
    session.execute(update(RefreshToken).where(*alive).values(ended_at=now, successor=None))
    cut_off(session, Cut.FAMILY, family, now=now + AFTER)


def of_session(session: Session, hash_: str) -> set[str]:
    """The families that were founded in a browser's session."""
    if not hash_:
        return set()
    held = session.exec(select(RefreshToken.family).where(RefreshToken.session == hash_))
    given = session.exec(select(Code.family).where(Code.session == hash_))
    return {*held, *given, *_of_devices(session, DeviceGrant.session == hash_)}


def end_of_session(session: Session, hash_: str, now: float) -> int:
    """Ends what was allowed in a browser's session; how many families. The caller moves the epoch of the cut-offs."""
    families = of_session(session, hash_)
    if hash_:
        _end_promises(session, now, col(DeviceGrant.session) == hash_)
    for family in families:
        end_family(session, family, now)
    return len(families)


def disconnect(session: Session, person: str, client: str, now: float) -> int:
    """Ends every family of a client at a person; how many there were. The caller moves the epoch of the cut-offs."""
    lock_person(session, person)
    held = select(RefreshToken.family).where(RefreshToken.person == person, RefreshToken.client == client)
    given = select(Code.family).where(Code.person == person, Code.client == client)
    theirs = (col(DeviceGrant.person) == person, col(DeviceGrant.client) == client)
    families = {*session.exec(held), *session.exec(given), *_of_devices(session, *theirs)}
    _end_promises(session, now, *theirs)
    for family in families:
        end_family(session, family, now)
    return len(families)


def _of_devices(session: Session, *whose: Any) -> set[str]:
    """A device that came for its tokens founded a family, also if it holds no refresh token by which to find it."""
    used = col(DeviceGrant.used_at).is_not(None)
    return {family_of(row) for row in session.exec(select(DeviceGrant).where(*whose, used))}


def family_of(row: DeviceGrant) -> str:
    """What the tokens of a device belong to."""
    return row.hash


def _end_promises(session: Session, now: float, *whose: Any) -> None:
    """A device that was allowed in, and has not come for its tokens yet, gets none."""
    session.execute(update(DeviceGrant).where(*whose, col(DeviceGrant.used_at).is_(None)).values(used_at=now))


def lock_person(session: Session, person: str) -> Person | None:
    """The person's row, locked until the transaction ends (SQLite has one writer anyway)."""
    return session.get(Person, person, with_for_update=True, populate_existing=True)


def _issue(session: Session, allowed: Allowance, family: str, now: float, until: float) -> str:
    token = "ost_rt_" + secrets.token_urlsafe(32)
    session.add(
        RefreshToken(hash=fingerprint(token), family=family, created_at=now, expires_at=until, **_carried(allowed))
    )
    return token


def allowance_of(row: Code | RefreshToken | DeviceGrant) -> Allowance:
    """What a code, a refresh token or a device's question carries."""
    return Allowance(**{name: getattr(row, name) for name in Allowance.__dataclass_fields__})


def _carried(allowed: Allowance) -> dict[str, Any]:
    return {name: getattr(allowed, name) for name in Allowance.__dataclass_fields__}


def is_over(session: Session, row: DeviceGrant) -> bool:
    """Whether everything of its person or its client was ended since the device asked."""
    held = ((Cut.PERSON, row.person), (Cut.CLIENT, row.client))
    return any(is_cut(session, kind, key, row.created_at) for kind, key in held)


def _cut(session: Session, row: Code | RefreshToken, issued_at: float) -> bool:
    held = ((Cut.PERSON, row.person), (Cut.CLIENT, row.client), (Cut.FAMILY, row.family))
    return any(is_cut(session, kind, key, issued_at) for kind, key in held)
