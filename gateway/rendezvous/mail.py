"""The rendezvous's statements: each one transaction, synchronous, the same on SQLite and PostgreSQL."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, delete, select, text
from sqlalchemy.dialects import postgresql, sqlite

from registry.tables import Letter, Parcel, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

    from registry.database import Database

SWEEP = 30.0  # seconds between two looks for what is too old
TOPIC_LIFE = 30.0  # seconds in which a listener that was held up still hears what was published
_ORDER = 0x6C657474  # of PostgreSQL's advisory locks: letters become visible in the order of their ids

parcels: Table = Parcel.__table__  # type: ignore[attr-defined]
letters: Table = Letter.__table__  # type: ignore[attr-defined]
tallies: Table = Tally.__table__  # type: ignore[attr-defined]


class Mail:
    """Parcels, letters and tallies in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert: Any = postgresql.insert if database.is_postgresql else sqlite.insert
        self._swept = 0.0

    def put(self, key: str, value: bytes, until: float) -> None:
        new = self._insert(parcels).values(key=key, value=value, expires_at=until)
        changed = {"value": new.excluded.value, "expires_at": new.excluded.expires_at}
        with self._database.engine.begin() as connection:
            connection.execute(new.on_conflict_do_update(index_elements=["key"], set_=changed))
        self._sweep()

    def add(self, key: str, value: bytes, until: float) -> bool:
        new = self._insert(parcels).values(key=key, value=value, expires_at=until)
        changed = {"value": new.excluded.value, "expires_at": new.excluded.expires_at}
        unless = parcels.c.expires_at <= time.time()
        statement = new.on_conflict_do_update(index_elements=["key"], set_=changed, where=unless)
        with self._database.engine.begin() as connection:
            left = connection.execute(statement.returning(parcels.c.key)).first()
        self._sweep()
        return left is not None

    def get(self, key: str) -> bytes | None:
        fresh = (parcels.c.key == key) & (parcels.c.expires_at > time.time())
        with self._database.engine.begin() as connection:
            return connection.execute(select(parcels.c.value).where(fresh)).scalar()

    def take(self, key: str) -> bytes | None:
        gone = delete(parcels).where(parcels.c.key == key).returning(parcels.c.value, parcels.c.expires_at)
        with self._database.engine.begin() as connection:
            found = connection.execute(gone).first()
        return found.value if found is not None and found.expires_at > time.time() else None

    def post(self, box: str, body: bytes, until: float) -> None:
        with self._database.engine.begin() as connection:
            if self._database.is_postgresql:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ORDER})
            connection.execute(letters.insert().values(box=box, body=body, expires_at=until))
        self._sweep()

    def collect(self, boxes: Mapping[str, int]) -> list[tuple[str, bytes]]:
        """At most so many letters of each box, in order; nobody else gets them."""
        fresh = letters.c.box.in_(boxes) & (letters.c.expires_at > time.time())
        wanted = dict(boxes)
        found = []
        with self._database.engine.begin() as connection:
            query = select(letters.c.id, letters.c.box).where(fresh).order_by(letters.c.id)
            for row in connection.execute(query).all():
                body = self._fetch(connection, row.id) if wanted[row.box] > 0 else None
                if body is not None:
                    wanted[row.box] -= 1
                    found.append((row.box, body))
        return found

    def hear(self, topics: Iterable[str], after: int) -> list[tuple[int, str, bytes, float]]:
        """What was published later than letter `after`: id, topic, body, and when."""
        query = select(letters.c.id, letters.c.box, letters.c.body, letters.c.expires_at)
        query = query.where(letters.c.box.in_(list(topics)) & (letters.c.id > after)).order_by(letters.c.id)
        with self._database.engine.begin() as connection:
            rows = connection.execute(query).all()
        return [(row.id, row.box, row.body, row.expires_at - TOPIC_LIFE) for row in rows]

    def count(self, key: str, window: float) -> int:
        end = int((time.time() // window + 1) * window * 1000)
        new = self._insert(tallies).values(key=f"{key}/{window:g}", window=end, count=1)
        more = new.on_conflict_do_update(index_elements=["key", "window"], set_={"count": tallies.c.count + 1})
        with self._database.engine.begin() as connection:
            counted: int = connection.execute(more.returning(tallies.c.count)).scalar_one()
        self._sweep()
        return counted

    def _fetch(self, connection: Connection, letter: int) -> bytes | None:
        gone = delete(letters).where(letters.c.id == letter).returning(letters.c.body)
        return connection.execute(gone).scalar()

    def _sweep(self) -> None:
        now = time.time()
        if now < self._swept + SWEEP:
            return
        self._swept = now
        with self._database.engine.begin() as connection:
            connection.execute(delete(parcels).where(parcels.c.expires_at <= now))
            connection.execute(delete(letters).where(letters.c.expires_at <= now))
            connection.execute(delete(tallies).where(tallies.c.window <= int(now * 1000)))
