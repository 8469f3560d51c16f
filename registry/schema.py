"""Bringing the database to the schema that this version needs. Alembic is imported only when there is work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from registry.database import Concern
from registry.errors import DatabaseBehind

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from registry.database import Database

HEAD = "0004"  # the newest revision in alembic/versions; a test keeps the two together


def migrate(database: Database) -> str | None:
    """Upgrades an empty or older database; refuses one that a newer version has written. Gives what it was before."""
    with database.engine.connect() as connection:
        present = _revision(connection)
    if present == HEAD:
        return present
    if present is not None and present > HEAD:
        raise DatabaseBehind(f"the database is at revision {present}, this version knows {HEAD}: run the newer version")
    _upgrade(database)
    return present


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(database: Database) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts()))
    with database.engine.begin() as connection:
        if not database.is_postgresql:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver leaves transactions to us
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        known = {row[0] for row in connection.execute(text("SELECT concern FROM epoch"))}
        for concern in sorted(set(Concern) - known):
            connection.execute(text("INSERT INTO epoch (concern, value) VALUES (:c, 1)"), {"c": str(concern)})


def scripts() -> Path:
    """The migrations: inside this package in the wheel, `alembic/` beside it in a checkout."""
    packaged = Path(__file__).parent / "migrations"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "alembic"
