"""The process that copies the journal: real, and killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from sqlalchemy import func
from sqlmodel import select

from gateway.journal import copier
from gateway.journal.copier import Copier, Crowded, Orders, Progress, Quiet
from gateway.journal.index import Batch, Indexer
from registry.tables import JournalEntry
from tests.gateway.journal.conftest import intend, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.journal.writer import FileJournal
    from registry.database import Database

    Open = Callable[..., FileJournal]

DEADLINE = 20.0


@contextmanager
def copying(directory: Path, database: Database) -> Iterator[subprocess.Popen[bytes]]:
    hurried = "from gateway.journal import copier; copier.LATE = -1.0; copier.main()"  # a busy machine is never idle
    command = [sys.executable, "-c", hurried]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    orders = Orders(str(directory), database.is_postgresql, database.address())
    process.stdin.write(msgspec.json.encode(orders) + b"\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def write(journal: FileJournal, number: int) -> None:
    for one in range(number):
        intend(journal, f"c{one}")
        journal.conclude(f"c{one}", "ok")


def copied(database: Database) -> int:
    with database.read() as session:
        return session.exec(select(func.count()).select_from(JournalEntry)).one()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_written_is_found_a_moment_later(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    with copying(directory, database):
        write(journal, 5)
        until(lambda: copied(database) == 11)
        write(journal, 500)
        until(lambda: copied(database) == 1011)


def test_a_copier_that_is_killed_again_and_again_loses_and_doubles_nothing(
    opened: Open, directory: Path, database: Database
) -> None:
    journal = opened(database=database, limit=1_000_000)
    writing = threading.Thread(target=write, args=(journal, 6000))
    writing.start()
    for number in range(8):
        with copying(directory, database):
            before = copied(database)
            until(lambda before=before: before < copied(database) or copied(database) > 12_000)  # type: ignore[misc]
            time.sleep(0.004 * number)  # somewhere in the next batch
    writing.join()
    journal.close()
    Indexer(directory, database).catch_up()
    with database.read() as session:
        stored = session.exec(select(JournalEntry.line)).all()
    assert sorted(msgspec.json.decode(line)["hash"] for line in stored) == sorted(
        one["hash"] for one in lines(directory)
    )


def test_it_ends_with_whoever_started_it(directory: Path, database: Database, opened: Open) -> None:
    write(opened(database=database), 1)
    with copying(directory, database) as process:
        until(lambda: copied(database) == 3)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(DEADLINE) == 0


def test_it_knows_no_more_of_a_database_than_its_driver() -> None:
    loaded = "import sys, gateway.journal.copier; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "sqlmodel", "pydantic", "starlette", "psycopg"} & set(found)


class Scripted:
    """An indexer with so many more batches to copy."""

    def __init__(self, *steps: bool | Exception) -> None:
        self._steps = list(steps)

    def step(self) -> bool:
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def waiting(self) -> float:
        return 42.0


def run(indexer: Scripted, quiet: Quiet) -> tuple[list[float], list[Progress]]:
    """Its pauses, and what it said."""
    pauses: list[float] = []
    said: list[Progress] = []

    def over(pause: float) -> bool:
        pauses.append(pause)
        return not indexer._steps

    copies: Any = type("Copies", (), {"fault": OSError, "is_postgresql": False, "leave": lambda _self: None})()
    Copier(indexer, copies, quiet, said.append).run(over)  # type: ignore[arg-type]
    return pauses, said


def test_it_leaves_others_room_to_write_and_rests_when_there_is_nothing_new() -> None:
    pauses, said = run(Scripted(True, True, False, True), Quiet())
    assert pauses == [0.0, copier.BREATH, copier.BREATH, copier.IDLE, copier.BREATH]
    assert said[:2] == [Progress(waiting=42.0), Progress()]


def test_who_is_late_waits_for_idle_processors_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copier, "LATE", -1.0)
    quiet = Quiet()
    run(Scripted(True), quiet)
    assert quiet.late
    assert _policy_of(quiet) != os.SCHED_IDLE
    monkeypatch.setattr(copier, "LATE", 15.0)
    run(Scripted(True, False), quiet)
    assert not quiet.late
    assert _policy_of(quiet) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) != os.SCHED_IDLE


def _policy_of(quiet: Quiet) -> int:
    """By which the kernel runs what reads."""
    policies: list[int] = []
    quiet(lambda: policies.append(os.sched_getscheduler(0)))
    return policies[0]


def test_where_others_want_the_core_nothing_is_written_until_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = (Batch([("row",)] * count, 1, 1) for count in (copier.FEW, copier.FEW + 1))
    quiet = Quiet()
    monkeypatch.setattr(copier, "SLACK", -1e-9)
    monkeypatch.setattr(copier, "CROWD", 0.0)
    assert quiet(lambda: few) is few
    with pytest.raises(Crowded):
        quiet(lambda: many)
    quiet.late = True
    assert quiet(lambda: many) is many
    monkeypatch.setattr(copier, "LATE", -1.0)
    quiet.late = False
    pauses, said = run(Scripted(Crowded()), quiet)
    assert (pauses, said, quiet.late) == ([0.0, copier.IDLE], [Progress(waiting=42.0)], True)


def test_a_fault_is_said_and_tried_again() -> None:
    pauses, said = run(Scripted(OSError(), False), Quiet())
    assert pauses == [0.0, copier.IDLE, copier.IDLE]
    assert said == [Progress(trouble="OSError"), Progress()]
