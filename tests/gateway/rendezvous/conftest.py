from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlmodel import SQLModel

from gateway.rendezvous.memory import MemoryRendezvous
from gateway.rendezvous.shared import SharedRendezvous
from registry.database import Database, sqlite_url
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.rendezvous import Rendezvous

Pair = tuple["Rendezvous", "Rendezvous"]


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
async def pair(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pair]:
    """Two ends that should meet: the same object in memory, or two on one database as two processes have them."""
    if request.param == "memory":
        one = MemoryRendezvous()
        yield one, one
        await one.close()
        return
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    databases = Database(url), Database(url)
    SQLModel.metadata.create_all(databases[0].engine)
    here, there = SharedRendezvous(databases[0]), SharedRendezvous(databases[1])
    yield here, there
    for end in (here, there):
        await end.close()
    SQLModel.metadata.drop_all(databases[0].engine)
    for database in databases:
        database.close()
