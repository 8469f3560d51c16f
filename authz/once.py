"""Things that count once: assertion ids, `jti`s, states. One row marks one, in whichever process it is seen first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col, delete

from authz.fingerprints import fingerprint
from authz.tables import Spent

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.database import Database


def spend(session: Session, kind: str, key: str, until: float) -> bool:
    """Marks `key` and says whether it was new; of two transactions at once the second waits for the first."""
    made = session.connection().execute(
        sa.text("INSERT INTO spent (hash, until) VALUES (:hash, :until) ON CONFLICT DO NOTHING"),
        {"hash": fingerprint(f"{kind}\n{key}"), "until": until},
    )
    return bool(made.rowcount)


def is_spent(session: Session, kind: str, key: str) -> bool:
    """Whether `key` was seen before. For what only reads: who counts on it spends it."""
    return session.get(Spent, fingerprint(f"{kind}\n{key}")) is not None


def first_time(database: Database, kind: str, key: str, until: float) -> bool:
    """The same in a transaction of its own: a refusal that follows keeps the mark."""
    with database.change() as session:
        return spend(session, kind, key, until)


def sweep(session: Session, now: float) -> None:
    """Forgets what would be refused anyway by now."""
    session.execute(delete(Spent).where(col(Spent.until) < now))
