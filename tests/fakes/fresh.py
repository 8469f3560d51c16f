"""A fresh SQLite database as migrations leave it, without running them for each of thousands of tests."""

from __future__ import annotations

import sqlite3
from threading import Lock
from typing import TYPE_CHECKING

from registry import schema

if TYPE_CHECKING:
    from registry.database import Database

_plain = schema._upgrade
_made: list[sqlite3.Connection] = []
_lock = Lock()


def upgrade(database: Database) -> None:
    """The first is migrated, and the others in this process are copies of it; an older one is always migrated."""
    with database.engine.connect() as connection:
        fresh = schema._revision(connection) is None
    if database.is_postgresql or not fresh:
        _plain(database)
        return
    with _lock:
        if not _made:
            _plain(database)
            _made.append(_copied(database))
            return
        raw = database.engine.raw_connection()
        try:
            _made[0].backup(raw.driver_connection)
        finally:
            raw.close()


def _copied(database: Database) -> sqlite3.Connection:
    kept = sqlite3.connect(":memory:", check_same_thread=False)
    raw = database.engine.raw_connection()
    try:
        raw.driver_connection.backup(kept)
    finally:
        raw.close()
    return kept
