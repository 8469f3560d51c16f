from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from authz.policy.rules import Draft, write_rule
from gateway import snapshots as module
from gateway.assembly import open_office
from gateway.settings import Settings
from gateway.snapshots import Snapshots
from gateway.starting.first_start import ensure_signing_key
from registry.database import Concern
from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.office import Office

RULE = Draft(subject="group:editors", object="notes.*", action="*")


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = open_office(Settings(data=tmp_path / "data"), create=True)
    ensure_signing_key(made)
    yield made
    made.close()


@pytest.fixture
async def watched(office: Office) -> AsyncIterator[Snapshots]:
    snapshots = Snapshots(office)
    watching = asyncio.create_task(snapshots.watch())
    yield snapshots
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def _allow(office: Office) -> None:
    with office.change("policy.changed", Concern.POLICY, who="test") as (session, _):
        write_rule(session, RULE, who="test", now=1.0)


async def test_a_change_is_felt_without_anybody_being_told(office: Office, watched: Snapshots) -> None:
    before = watched.current
    coming = asyncio.create_task(anext(watched.changes()))
    await asyncio.to_thread(_allow, office)
    after = await within(coming, 30)
    assert after.epoch > before.epoch
    assert after.policy is not before.policy


async def test_only_what_moved_is_built_anew(office: Office) -> None:
    snapshots = Snapshots(office)
    before = snapshots.current
    _allow(office)
    await snapshots.refresh()
    after = snapshots.current
    assert after.policy is not before.policy
    kept = ("catalogue", "keys", "members", "clients", "cutoffs", "credentials")
    assert all(getattr(after, part) is getattr(before, part) for part in kept)


async def test_what_does_not_matter_to_a_call_builds_nothing(office: Office) -> None:
    snapshots = Snapshots(office)
    before = snapshots.current
    with office.database.change():
        pass
    await snapshots.refresh()
    assert snapshots.current is before


async def test_an_undone_change_moves_nothing(office: Office) -> None:
    snapshots = Snapshots(office)
    before = snapshots.current
    with pytest.raises(RuntimeError), office.database.change(Concern.POLICY):
        raise RuntimeError("halfway")
    await snapshots.refresh()
    assert snapshots.current is before


async def test_without_the_database_the_old_snapshot_stays_and_is_no_longer_fresh_after_a_while(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(office)
    before = snapshots.current
    with office.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE epoch RENAME TO gone")
    await snapshots.refresh()
    assert snapshots.current is before
    assert snapshots.fresh()
    monkeypatch.setattr(module, "STALE", 0.0)
    assert not snapshots.fresh()
    with office.database.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO epoch")
    monkeypatch.setattr(module, "STALE", 60.0)
    await snapshots.refresh()
    assert snapshots.fresh()


async def test_a_change_that_cannot_be_recorded_does_not_happen(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    before = office.database.epochs()
    monkeypatch.setattr(type(office.journal), "note", refuse)
    with pytest.raises(OSError, match="disk is full"):
        _allow(office)
    assert office.database.epochs() == before


async def test_watching_ends_though_there_is_news_at_the_same_moment(office: Office) -> None:
    snapshots = Snapshots(office)
    watching = asyncio.create_task(snapshots.watch())
    await asyncio.sleep(0.05)
    for told in (snapshots._wake.set, watching.cancel):
        told()
        await asyncio.sleep(0)
    await asyncio.wait({watching}, timeout=20)
    assert watching.cancelled()
