from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlmodel import Session, select

from gateway.rendezvous import RendezvousDown, mail
from gateway.rendezvous.shared import SharedRendezvous
from registry.database import Database, sqlite_url
from registry.schema import migrate
from registry.tables import Letter, Parcel, Tally
from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    return database


async def test_a_database_that_is_away_is_an_error_and_never_an_answer(tmp_path: Path) -> None:
    rendezvous = SharedRendezvous(Database(f"sqlite:///{tmp_path}/nowhere/x.db"))
    with pytest.raises(RendezvousDown):
        await rendezvous.get("k")
    with pytest.raises(RendezvousDown):
        await rendezvous.add("nonce", b"", 10)
    with pytest.raises(RendezvousDown):
        await rendezvous.count("k", 60)
    with pytest.raises(RendezvousDown):
        await rendezvous.receive("box", 0.2)
    await rendezvous.close()


async def test_nothing_runs_while_nobody_waits(database: Database) -> None:
    rendezvous = SharedRendezvous(database)
    assert await rendezvous.receive("box", 0.05) is None
    assert rendezvous._looking is not None
    await within(asyncio.shield(rendezvous._looking), 10)  # it ends by itself
    await rendezvous.close()
    database.close()


async def test_what_is_too_old_leaves_the_tables(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "SWEEP", 0.0)
    rendezvous = SharedRendezvous(database)
    await rendezvous.put("old", b"", 0.01)
    await rendezvous.send("box", b"", 0.01)
    await rendezvous.count("k", 0.01)
    await asyncio.sleep(0.05)
    await rendezvous.put("new", b"", 10)
    with Session(database.engine) as session:
        assert [row.key for row in session.exec(select(Parcel))] == ["new"]
        assert session.exec(select(Letter)).all() == []
        assert session.exec(select(Tally)).all() == []
    await rendezvous.close()
    database.close()


async def test_a_cancellation_is_heard_although_the_letter_cannot_be_put_back(tmp_path: Path) -> None:
    rendezvous = SharedRendezvous(Database(f"sqlite:///{tmp_path}/nowhere/x.db"))
    receiving = asyncio.create_task(rendezvous.receive("box", 10))
    await asyncio.sleep(0)
    rendezvous._waiting["box/box"][0].set_result(b"a letter")
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(receiving, 20)
    await rendezvous.close()
