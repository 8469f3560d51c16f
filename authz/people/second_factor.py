"""Time-based codes as a second factor for passwords of ours (RFC 6238), and recovery codes for a lost device.

Everything works inside the caller's transaction. No code counts twice: the time step of the last one is kept, and
only a later one is taken.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from sqlmodel import Session, col, delete, func, select, update

from authz.fingerprints import fingerprint
from authz.tables import RecoveryCode, SecondFactor

if TYPE_CHECKING:
    from authz.tables import Person
    from registry.secrets.vault import Vault

STEP: Final = 30  # seconds, RFC 6238 section 5.2
DIGITS: Final = 6
SKEW: Final = 1  # steps by which the clock of a device may differ
KEY_BYTES: Final = 20  # RFC 4226 section 4, R6
RECOVERY_CODES: Final = 10
_SHOWN: Final = 40  # characters of a name: what is longer makes pictures that cameras read badly
METHODS: Final = "pwd otp mfa"  # RFC 8176


def new_key() -> bytes:
    """Counts once a code of it was shown; until then nothing is kept of it."""
    return secrets.token_bytes(KEY_BYTES)


def confirm(session: Session, vault: Vault, person: str, key: bytes, code: str, now: float) -> list[str]:
    """Recovery codes, which are not kept and not shown again; none when the code is not of this key, or one is set."""
    if _row(session, person) is not None:
        return []
    row = SecondFactor(person=person, sealed=vault.wrap(_context(person), key), created_at=now)
    if not _spend(vault, row, code, now):
        return []
    session.add(row)
    made = [_recovery_code() for _ in range(RECOVERY_CODES)]
    session.execute(delete(RecoveryCode).where(col(RecoveryCode.person) == person))
    session.add_all(RecoveryCode(hash=_fingerprint(person, one), person=person) for one in made)
    return made


def matches(session: Session, vault: Vault, person: str, code: str, now: float) -> str:
    """`otp` or `recovery` when the code is right and was never used, else nothing. It is used by this."""
    row = _row(session, person)
    if row is None:
        return ""
    if _spend(vault, row, code, now):
        session.add(row)
        return "otp"
    used = session.execute(
        update(RecoveryCode)
        .where(col(RecoveryCode.hash) == _fingerprint(person, code), col(RecoveryCode.used_at).is_(None))
        .values(used_at=now)
    )
    return "recovery" if used.rowcount == 1 else ""  # type: ignore[attr-defined]


def is_set(session: Session, person: str) -> bool:
    """Whether they have one that counts."""
    return session.get(SecondFactor, person) is not None


def recovery_left(session: Session, person: str) -> int:
    unused = (col(RecoveryCode.person) == person, col(RecoveryCode.used_at).is_(None))
    return session.exec(select(func.count()).select_from(RecoveryCode).where(*unused)).one()


def reset(session: Session, person: str) -> None:
    """As if there had never been one."""
    for table in (SecondFactor, RecoveryCode):
        session.execute(delete(table).where(col(table.person) == person))


def shown(key: bytes) -> str:
    """The key as people type it into an application: in groups of four."""
    text = base64.b32encode(key).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def address(key: bytes, person: Person, host: str) -> str:
    """As authenticator applications read it from a picture or a link (Google's Key URI Format)."""
    label = quote(f"Ostiary:{person.handle[:_SHOWN]}", safe="")
    return f"otpauth://totp/{label}?" + urlencode(
        {"secret": base64.b32encode(key).decode(), "issuer": f"Ostiary {host[:_SHOWN]}"}, quote_via=quote
    )


def code_at(key: bytes, step: int) -> str:
    """RFC 4226 section 5.3."""
    digest = hmac.digest(key, struct.pack(">Q", step), hashlib.sha1)  # what applications support everywhere
    offset = digest[-1] & 15
    number = struct.unpack(">I", digest[offset : offset + 4])[0] & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def _spend(vault: Vault, row: SecondFactor, code: str, now: float) -> bool:
    """Whether it is the code of a time step after the last one used; then that is the last one used."""
    typed = "".join(code.split())
    key, present = vault.unwrap(_context(row.person), row.sealed), int(now // STEP)
    for step in range(max(present - SKEW, row.step + 1), present + SKEW + 1):
        if hmac.compare_digest(code_at(key, step).encode(), typed.encode("utf-8", "replace")):
            row.step = step
            return True
    return False


def _row(session: Session, person: str) -> SecondFactor | None:
    """Locked, so that of two with the same code one is late."""
    return session.get(SecondFactor, person, with_for_update=True, populate_existing=True)


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _fingerprint(person: str, code: str) -> str:
    return fingerprint(f"{person}\n{code.strip().lower().replace(' ', '-')}")


def _context(person: str) -> bytes:
    return b"second-factor:" + person.encode()
