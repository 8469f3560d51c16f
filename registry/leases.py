"""Leases: what only one process may do at a time, held in the database until a moment that the holder moves on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlmodel import col

from registry.tables import Lease

if TYPE_CHECKING:
    from registry.database import Database


def take(database: Database, name: str, holder: str, seconds: float) -> bool:
    """Whether `holder` has the lease for the next `seconds`: it was free, run out, or its own already."""
    now = time.time()
    free = (col(Lease.name) == name) & ((col(Lease.until) < now) | (col(Lease.holder) == holder))
    with database.change() as session:
        connection = session.connection()
        moved = connection.execute(sa.update(Lease).where(free).values(holder=holder, until=now + seconds))
        if moved.rowcount:
            return True
        made = connection.execute(
            sa.text("INSERT INTO lease (name, holder, until) VALUES (:name, :holder, :until) ON CONFLICT DO NOTHING"),
            {"name": name, "holder": holder, "until": now + seconds},
        )
        return bool(made.rowcount)


def is_held(database: Database, name: str) -> bool:
    """Whether anybody has it now."""
    with database.read() as session:
        lease = session.get(Lease, name)
    return lease is not None and lease.until >= time.time()


def give_back(database: Database, name: str, holder: str) -> None:
    """The next one need not wait."""
    with database.change() as session:
        session.connection().execute(
            sa.delete(Lease).where(col(Lease.name) == name, col(Lease.holder) == holder)  # nobody else's
        )
