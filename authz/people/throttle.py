"""How often one may guess: 5 failures an account and 20 an address in a minute, then growing pauses.

An attempt is counted as failed before its password is looked at and taken back when it was right, so that a hundred
guesses sent at once are a hundred guesses and not one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlmodel import col, delete

from authz.errors import SignInRefused
from authz.neighbours import neighbourhood
from authz.tables import FailedSignIns
from registry.database import ensure

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.database import Database

MINUTE: Final = 60.0
ACCOUNT_LIMIT: Final = 5
ADDRESS_LIMIT: Final = 20
FIRST_PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 900.0


def count_attempt(database: Database, handle: str, address: str, now: float) -> None:
    """Counts one more attempt against both; raises SignInRefused with `retry_after` while either is paused."""
    with database.change() as session:
        rows = [
            (ensure(session, FailedSignIns(key=account_key(handle))), ACCOUNT_LIMIT),
            (ensure(session, FailedSignIns(key=address_key(address))), ADDRESS_LIMIT),
        ]
        pause = max(row.paused_until for row, _ in rows) - now
        if pause > 0:  # undoes the rows made above: who is paused must not fill the table with names
            raise SignInRefused("throttled", retry_after=int(pause) + 1)
        for row, limit in rows:
            _count(row, limit, now)


def take_back(database: Database, handle: str, address: str) -> None:
    """It was the right password: the account starts anew, the address is owed one."""
    with database.change() as session:
        account = ensure(session, FailedSignIns(key=account_key(handle)))
        account.count, account.paused_until = 0, 0.0
        row = ensure(session, FailedSignIns(key=address_key(address)))
        row.count = max(0, row.count - 1)


def sweep(session: Session, now: float) -> None:
    """Forgets what no longer counts."""
    session.execute(delete(FailedSignIns).where(col(FailedSignIns.last_at) < now - 4 * LONGEST_PAUSE))


def account_key(handle: str) -> str:
    """Hashed: what is typed as a name may be a password, typed into the wrong field."""
    return "account:" + hashlib.sha256(handle.encode()).hexdigest()


def address_key(address: str) -> str:
    return f"address:{neighbourhood(address)}"


def _count(row: FailedSignIns, limit: int, now: float) -> None:
    if now - row.last_at > max(MINUTE, 2 * (row.paused_until - row.last_at)):
        row.count = 0
    row.count += 1
    row.last_at = now
    row.paused_until = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (row.count - limit)) if row.count >= limit else 0.0
