"""The gateway and the process beside it that copies its journal."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from registry.database import Database, sqlite_url
from registry.tables import JournalEntry
from tests.fakes.gateway import Gateway
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 60.0


def copiers(pid: int) -> list[int]:
    """Those of the gateway's processes, at whatever depth, that copy."""
    below = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    here = [one for one in below if b"gateway.journal.copier" in Path(f"/proc/{one}/cmdline").read_bytes()]
    return here + [found for one in below for found in copiers(one)]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def found(gateway: Gateway, event: str) -> int:
    url = on_postgresql.environment(gateway.data).get("OSTIARY_DATABASE_URL") or sqlite_url(gateway.data)
    with closing(Database(url)) as database, database.read() as session:
        return len(session.exec(select(JournalEntry).where(JournalEntry.event == event)).all())


@pytest.mark.parametrize("workers", [1, 2])
def test_one_process_copies_what_all_write_and_is_replaced_when_it_is_killed(tmp_path: Path, workers: int) -> None:
    with Gateway(tmp_path, "--workers", str(workers)) as gateway:
        until(lambda: len(copiers(gateway.pid)) == 1)
        gateway.add_user("alice")
        until(lambda: found(gateway, "person.added") == 1)
        (first,) = copiers(gateway.pid)
        os.kill(first, signal.SIGKILL)
        gateway.add_user("bob")
        until(lambda: found(gateway, "person.added") == 2)
        (second,) = copiers(gateway.pid)
        assert second != first
    assert not Path(f"/proc/{second}").exists()


def test_it_does_not_outlive_a_gateway_that_was_killed(tmp_path: Path) -> None:
    with Gateway(tmp_path) as gateway:
        until(lambda: len(copiers(gateway.pid)) == 1)
        (copier,) = copiers(gateway.pid)
        os.kill(gateway.pid, signal.SIGKILL)
        until(lambda: not _runs(copier))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
