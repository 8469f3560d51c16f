"""Things that count once: assertion ids, `jti`s, states. One row marks one, in whichever process it is seen first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete

from authz.fingerprints import fingerprint
from authz.tables import Spent

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.database import Database


def first_time(database: Database, kind: str, key: str, until: float) -> bool:
    """Marks `key` and says whether it was new. In a transaction of its own: a refusal that follows keeps the mark."""
    try:
        with database.change() as session:
            session.add(Spent(hash=fingerprint(f"{kind}\n{key}"), until=until))
    except IntegrityError:
        return False
    return True


def sweep(session: Session, now: float) -> None:
    session.execute(delete(Spent).where(col(Spent.until) < now))
