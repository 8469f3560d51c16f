from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.journal.index.copying import Indexer
from gateway.journal.prune import old, prune
from gateway.journal.segments import segments
from gateway.journal.verify import verify
from tests.gateway.journal.conftest import KEY, calls, lines, rows, stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from gateway.journal.writer import FileJournal
    from registry.database import Database

    Open = Callable[..., FileJournal]


def test_old_segments_go_on_record_and_the_rest_stays_sound(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    Indexer(directory, database).catch_up()
    chosen = old(directory, before=4e9)
    kept = [path for path in directory.glob("*.jsonl") if path.name not in {str(one.name) for one in chosen}]
    assert len(chosen) >= 3
    assert len(kept) == 2  # the open one, and the newest of the sealed
    keeper = opened(database=database, role="cli")
    prune(directory, database, keeper, chosen, before=4e9, who="operator:root")
    keeper.close()
    journal.close()
    assert sorted(kept) == sorted(path for path in directory.glob("*.jsonl") if path.name.startswith(journal.writer))
    Indexer(directory, database).catch_up()
    assert {entry.segment for entry in stored(database)} == {path.name for path in directory.glob("*.jsonl")}
    assert verify(directory, KEY, rows(database)).problems == []
    assert verify(directory).problems == []
    told = [line["segment"] for line in lines(directory) if line["event"] == "journal.pruned"]
    assert told == [str(one.name) for one in chosen]


def test_what_somebody_else_took_away_meanwhile_is_passed_over(
    opened: Open, directory: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    chosen, listed = old(directory, before=4e9), list(segments(directory))
    for _ in range(2):
        prune(directory, database, journal, chosen, before=4e9, who="operator:root")
    monkeypatch.setattr("gateway.journal.prune.segments", lambda _: listed)
    assert old(directory, before=4e9) == []
    journal.close()
    told = [line["segment"] for line in lines(directory) if line["event"] == "journal.pruned"]
    assert told == [str(one.name) for one in chosen]
    assert verify(directory, KEY, rows(database)).problems == []


def test_a_pruned_segment_that_is_back_is_named(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    chosen = old(directory, before=4e9)
    copy = (directory / str(chosen[0].name)).read_bytes()
    prune(directory, database, journal, chosen, before=4e9, who="operator:root")
    journal.close()
    (directory / str(chosen[0].name)).write_bytes(copy)
    assert any("pruned and is here again" in one.text for one in verify(directory, KEY, rows(database)).problems)


def test_nothing_young_and_nothing_open_is_pruned(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database, limit=6000)
    calls(journal, 60)
    assert old(directory, before=1e9) == []
    assert f"{journal._ledger._segment.name}" not in {str(one.name) for one in old(directory, before=4e9)}  # type: ignore[union-attr]
