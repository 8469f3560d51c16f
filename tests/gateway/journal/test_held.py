"""Records that are held are written at once, and whoever counts on them hears whether they were."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.journal import JournalDown
from gateway.journal.segments import Disk
from gateway.journal.verify import verify
from gateway.journal.writer import FileJournal, open_journal
from tests.gateway.journal.conftest import KEY, intend, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Open = Callable[..., FileJournal]


class Shaky:
    """A disk that takes so many bytes more, if it is told a number, and then has no room."""

    def __init__(self) -> None:
        self.room: int | None = None
        self.writes: list[bytes] = []
        self.sync_fails = False
        self.says_nothing = False  # a full disk takes no bytes, and raises no error
        self.disk = Disk(write=self._write, sync=self._sync)

    def _write(self, fd: int, data: bytes) -> int:
        self.writes.append(data)
        if self.room is None:
            return os.write(fd, data)
        if not self.room and self.says_nothing:
            return 0
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken, self.room = data[: self.room], max(0, self.room - len(data))
        return os.write(fd, taken)

    def _sync(self, fd: int) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(fd)


def named(directory: Path) -> list[str]:
    return [line["call"] for line in lines(directory) if "call" in line]


def test_what_is_held_is_written_with_one_write_and_in_its_order(opened: Open, directory: Path) -> None:
    shaky = Shaky()
    journal = opened(disk=shaky.disk)
    for name in ("a", "b"):
        intend(journal, name, held=True)
    journal.conclude("a", "ok", held=True)
    assert named(directory) == []
    before = len(shaky.writes)
    journal.release()
    assert len(shaky.writes) == before + 1
    assert named(directory) == ["a", "b", "a"]
    journal.close()
    assert verify(directory, KEY).problems == []


def test_what_is_written_at_once_has_one_time(opened: Open, directory: Path) -> None:
    journal = opened()
    for name in ("a", "b"):
        intend(journal, name, held=True, decision="d1")
    journal.release()
    assert len({line["at"] for line in lines(directory)[1:]}) == 1


def test_a_record_that_is_not_held_comes_behind_those_that_are(opened: Open, directory: Path) -> None:
    journal = opened()
    intend(journal, "a", held=True)
    journal.note("probe", who="test", call="n")
    journal.release()
    assert named(directory) == ["a", "n"]
    assert verify(directory, KEY).problems == []


@pytest.mark.parametrize("says_nothing", [False, True])
def test_nothing_of_what_a_full_disk_took_half_of_is_on_record(
    opened: Open, directory: Path, says_nothing: bool
) -> None:
    shaky = Shaky()
    shaky.says_nothing = says_nothing
    journal = opened(disk=shaky.disk)
    intend(journal, "a")
    for name in ("b", "c", "d"):
        intend(journal, name, held=True)
    shaky.room = 900  # more than one record, fewer than three
    with pytest.raises(JournalDown):
        journal.release()
    assert named(directory) == ["a"]
    shaky.room = None
    again(journal, "e")
    assert named(directory) == ["a", "e"]
    openings = [line for line in lines(directory) if line["event"] == "journal.opened"]
    assert openings[-1]["open"] == ["a"]  # nobody will look for an outcome of the others
    assert verify(directory, KEY).problems == []


def test_whoever_holds_hears_it_when_another_record_took_theirs_along(opened: Open, directory: Path) -> None:
    shaky = Shaky()
    journal = opened(disk=shaky.disk)
    intend(journal, "a", held=True)
    shaky.room = 0
    with pytest.raises(JournalDown):
        journal.note("probe", who="test")
    shaky.room = None
    again(journal, "later")
    intend(journal, "b", held=True)
    with pytest.raises(JournalDown):
        journal.release()
    assert named(directory) == ["later"]
    intend(journal, "c", held=True)
    journal.release()
    assert named(directory) == ["later", "c"]


def test_what_is_held_goes_into_the_next_segment_when_one_is_left(opened: Open, directory: Path) -> None:
    shaky = Shaky()
    journal = opened(disk=shaky.disk)
    journal._ledger.syncing.stop()
    intend(journal, "a", held=True)
    shaky.sync_fails = True
    with pytest.raises(JournalDown):
        journal._ledger.sync()
    assert named(directory) == []
    shaky.sync_fails = False
    journal._ledger._retry_at = 0.0
    journal.release()
    assert named(directory) == ["a"]
    assert verify(directory, KEY).problems == []


def test_a_journal_that_is_closed_writes_what_was_held(opened: Open, directory: Path) -> None:
    journal = opened()
    intend(journal, "a", held=True)
    journal.close()
    assert named(directory) == ["a"]
    assert verify(directory, KEY).problems == []


def test_a_full_segment_is_left_between_two_releases_only(opened: Open, directory: Path) -> None:
    journal = opened(limit=1500)
    for turn in range(6):
        for number in range(4):
            intend(journal, f"{turn}{number}", held=True)
        journal.release()
    journal.close()
    report = verify(directory, KEY)
    assert (report.problems, report.notes) == ([], [])
    assert report.segments > 2
    assert len(named(directory)) == 24


ACTS = st.sampled_from(["hold", "hold", "hold", "append", "release", "fail", "mend", "sync"])


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(acts=st.lists(ACTS, max_size=40), room=st.integers(0, 2000), limit=st.sampled_from([1500, 10**6]))
def test_on_record_is_what_somebody_was_told_is_on_record(
    tmp_path_factory: pytest.TempPathFactory, acts: list[str], room: int, limit: int
) -> None:
    directory = tmp_path_factory.mktemp("journal")
    shaky = Shaky()
    journal = open_journal(directory, KEY, disk=shaky.disk, limit=limit)
    journal._ledger.syncing.stop()
    told, refused, held = set[str](), set[str](), list[str]()

    def tried(act: Callable[[], Any], names: list[str]) -> None:
        try:
            act()
            told.update(names)
        except JournalDown:
            refused.update(names)

    for number, act in enumerate(acts):
        journal._ledger._retry_at = 0.0
        name = f"c{number}"
        if act == "hold":
            try:
                intend(journal, name, held=True)
                held.append(name)
            except JournalDown:
                refused.add(name)
        elif act == "append":
            tried(lambda name=name: intend(journal, name), [name])  # type: ignore[misc]
        elif act == "release":
            tried(journal.release, held)
            held = []
        elif act == "sync":
            tried(journal._ledger.sync, [])
        else:
            shaky.room = room if act == "fail" else None
    shaky.room = None
    tried(journal.release, held)
    journal.close()
    found = named(directory)
    assert told <= set(found)
    assert len(found) == len(set(found))
    assert verify(directory, KEY).problems == []
    assert not [name for name in told if name in refused]


def again(journal: FileJournal, name: str) -> None:
    journal._ledger._retry_at = 0.0
    journal.note("probe", who="test", call=name)
