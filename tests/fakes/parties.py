"""People and agents that tests ask policy about, and databases as a first start leaves them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from authz.principals import Principal, VerifiedClaims
from registry.database import Database, sqlite_url
from registry.schema import migrate

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


@contextlib.contextmanager
def database_in(data: Path) -> Iterator[Database]:
    """A database with all tables in `data`, as a first start leaves it."""
    data.mkdir(parents=True, exist_ok=True)
    database = Database(sqlite_url(data))
    migrate(database)
    try:
        yield database
    finally:
        database.close()
