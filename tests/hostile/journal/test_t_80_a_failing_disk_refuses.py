"""T-80: a write gives EIO, is short, is interrupted, a sync fails: refused, nothing skipped, the segment left."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.journal import JournalDown
from gateway.journal.segments import Disk
from gateway.journal.verify import verify
from gateway.journal.writer import FileJournal, open_journal
from gateway.settings import Durability
from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = b"k" * 32


class Failing:
    """A disk that does as it is told, once or for as long as `fault` is set."""

    def __init__(self) -> None:
        self.fault: Callable[[int, bytes], int] | None = None
        self.sync_fault: OSError | None = None
        self.opening_fault: OSError | None = None
        self.disk = Disk(self._write, self._sync, self._open)

    def _write(self, fd: int, data: bytes) -> int:
        return self.fault(fd, data) if self.fault else os.write(fd, data)

    def _sync(self, fd: int) -> None:
        if self.sync_fault:
            raise self.sync_fault
        os.fdatasync(fd)

    def _open(self, path: Path, flags: int, mode: int) -> int:
        if self.opening_fault:
            raise self.opening_fault
        return os.open(path, flags, mode)


def fails(number: int) -> Callable[[int, bytes], int]:
    def write(_fd: int, _data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    return write


def events(directory: Path) -> list[str]:
    return [record["event"] for record in records(directory)]


def records(directory: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(directory.glob("*.jsonl")):
        found += [json.loads(line) for line in path.read_bytes().split(b"\n") if line.endswith(b'"}')]
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def failing() -> Failing:
    return Failing()


@pytest.fixture
def journal(tmp_path: Path, failing: Failing) -> Any:
    journal = open_journal(tmp_path, KEY, disk=failing.disk)
    yield journal
    failing.fault = failing.sync_fault = failing.opening_fault = None
    journal.close()


def note(journal: FileJournal, number: int) -> None:
    journal.note("probe", who="test", number=number)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_t_80_a_record_that_cannot_be_written_is_refused(
    journal: FileJournal, failing: Failing, tmp_path: Path, number: int
) -> None:
    note(journal, 1)
    failing.fault = fails(number)
    with pytest.raises(JournalDown):
        note(journal, 2)
    with pytest.raises(JournalDown):
        note(journal, 3)
    assert not journal.healthy
    assert journal.warnings
    assert [record["number"] for record in records(tmp_path) if record["event"] == "probe"] == [1]


def test_t_80_it_comes_back_by_itself_in_a_new_segment_that_names_the_old(
    journal: FileJournal, failing: Failing, tmp_path: Path
) -> None:
    note(journal, 1)
    failing.fault = fails(errno.EIO)
    with pytest.raises(JournalDown):
        note(journal, 2)
    failing.fault = None
    until(lambda: journal.healthy)
    note(journal, 3)
    opened = [record for record in records(tmp_path) if record["event"] == "journal.opened"]
    assert opened[1]["left"] == opened[0]["segment"]
    assert (opened[1]["left_after"], opened[1]["why"]) == (2, "Input/output error")
    journal.close()
    report = verify(tmp_path, KEY)
    assert report.problems == []
    assert "error of the disk" in str(report.notes[0])
    assert [record["number"] for record in records(tmp_path) if record["event"] == "probe"] == [1, 3]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_t_80_a_short_write_is_finished(journal: FileJournal, failing: Failing, tmp_path: Path, size: int) -> None:
    failing.fault = lambda fd, data: os.write(fd, data[:size])
    for number in range(5):
        note(journal, number)
    failing.fault = None
    journal.close()
    assert events(tmp_path).count("probe") == 5
    assert verify(tmp_path, KEY).problems == []


def test_t_80_a_short_write_that_cannot_be_finished_leaves_nothing_that_counts(
    journal: FileJournal, failing: Failing, tmp_path: Path
) -> None:
    note(journal, 1)
    left = [60]

    def write(fd: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        size, left[0] = min(left[0], len(data)), 0
        return os.write(fd, data[:size])

    failing.fault = write
    with pytest.raises(JournalDown):
        note(journal, 2)
    failing.fault = None
    until(lambda: journal.healthy)
    note(journal, 3)
    journal.close()
    report = verify(tmp_path, KEY)
    assert report.problems == []
    assert "0 bytes in it are void" in str(report.notes[0])  # it was taken away again


def test_t_80_a_write_that_was_interrupted_is_done_again(
    journal: FileJournal, failing: Failing, tmp_path: Path
) -> None:
    interrupted = []

    def write(fd: int, data: bytes) -> int:
        if len(interrupted) % 3 != 2:
            interrupted.append(1)
            raise InterruptedError
        interrupted.append(1)
        return os.write(fd, data)

    failing.fault = write
    for number in range(4):
        note(journal, number)
    failing.fault = None
    assert len(interrupted) == 12
    assert events(tmp_path).count("probe") == 4


async def test_t_80_after_a_failed_sync_nobody_is_told_that_it_is_safe(tmp_path: Path, failing: Failing) -> None:
    journal = open_journal(tmp_path, KEY, durability=Durability.STRICT, disk=failing.disk)
    note(journal, 1)
    await within(journal.durable(), 20)
    failing.sync_fault = OSError(errno.EIO, "Input/output error")
    note(journal, 2)
    with pytest.raises(JournalDown):
        await within(journal.durable(), 20)
    assert not journal.healthy
    with pytest.raises(JournalDown):
        note(journal, 3)
    failing.sync_fault = None
    until(lambda: journal.healthy)
    note(journal, 4)
    await within(journal.durable(), 20)
    opened = [record for record in records(tmp_path) if record["event"] == "journal.opened"]
    assert len(opened) == 2
    assert opened[1]["confirmed"] < opened[1]["left_after"]
    journal.close()
    assert verify(tmp_path, KEY).problems == []


def test_t_80_with_group_durability_a_failed_sync_stops_the_next_call(journal: FileJournal, failing: Failing) -> None:
    failing.sync_fault = OSError(errno.EIO, "Input/output error")
    note(journal, 1)
    until(lambda: not journal.healthy)
    with pytest.raises(JournalDown):
        note(journal, 2)


def test_t_80_no_call_leaves_until_the_new_segment_is_on_the_disk(
    journal: FileJournal, failing: Failing, tmp_path: Path
) -> None:
    failing.fault = fails(errno.EIO)
    with pytest.raises(JournalDown):
        note(journal, 1)
    failing.fault, failing.sync_fault = None, OSError(errno.EIO, "Input/output error")
    time.sleep(0.15)
    with pytest.raises(JournalDown):
        note(journal, 2)
    failing.sync_fault = None
    until(lambda: journal.healthy)
    assert len(list(tmp_path.glob(".*.jsonl.new"))) == 0


def test_t_80_a_failing_disk_is_not_asked_for_every_call(journal: FileJournal, failing: Failing) -> None:
    failing.fault = fails(errno.EIO)
    opened = []
    failing.opening_fault = None
    original = failing.disk.open
    object.__setattr__(failing.disk, "open", lambda *a: opened.append(a) or original(*a))
    for number in range(500):
        with pytest.raises(JournalDown):
            note(journal, number)
    assert len(opened) < 50


REAL = """
import sys
from pathlib import Path
from gateway.journal import JournalDown
from gateway.journal.writer import open_journal
journal = open_journal(Path(sys.argv[1]), b"k" * 32, role="gateway")
written = 0
try:
    for number in range(10000):
        journal.note("probe", who="test", number=number)
        written += 1
except JournalDown:
    print(written, flush=True)
import os; os._exit(0)
"""


def test_t_80_the_kernel_itself_refuses_to_write_more(tmp_path: Path) -> None:
    """A limit of the size of files: a genuine short write, then a genuine error."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    ended = subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path)], preexec_fn=limit, capture_output=True, timeout=60, check=True
    )
    written = int(ended.stdout)
    (path,) = tmp_path.glob("*.jsonl")
    assert 49_000 < path.stat().st_size < 50_000  # the half of a record is gone
    journal = open_journal(tmp_path, KEY)
    journal.close()
    assert events(tmp_path).count("probe") == written
    assert verify(tmp_path, KEY).problems == []
