"""People and agents that tests ask policy about, and offices that need no migration."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlmodel import Session, SQLModel

import authz.tables  # noqa: F401 - the metadata must know them
from authz.principals import Principal, VerifiedClaims
from registry import schema
from registry.database import Concern, Database, sqlite_url
from registry.tables import Epoch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def principal(
    label: str,
    *groups: str,
    scopes: tuple[str, ...] = ("mcp",),
    client: str = "editor-app",
    actor: Principal | None = None,
) -> Principal:
    """As the verifier would make it."""
    return Principal(
        claims=VerifiedClaims({}),
        issuer="https://door.example",
        subject=f"usr_{label}",
        label=label,
        subjects=frozenset((label, *(f"group:{group}" for group in groups))),
        client=client,
        scopes=frozenset(scopes),
        resource="https://door.example/mcp",
        expires_at=4102444800.0,
        actor=actor,
    )


def tables_in(database: Database) -> None:
    """The schema at once, marked as migrated."""
    with database.engine.begin() as connection:
        if not database.is_postgresql:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        SQLModel.metadata.create_all(connection)
        connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": schema.HEAD})
        with Session(connection) as session:
            session.add_all(Epoch(concern=concern, value=1) for concern in Concern)
            session.flush()
            session.commit()


@contextlib.contextmanager
def database_in(data: Path) -> Iterator[Database]:
    """A database with all tables in `data`, as a first start leaves it."""
    data.mkdir(parents=True, exist_ok=True)
    database = Database(sqlite_url(data))
    tables_in(database)
    try:
        yield database
    finally:
        database.close()
