"""The gateway copies its journal for search while it runs; so does what is left of a worker that was killed."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.journal.index.search import Search, newest
from registry.database import Database, sqlite_url
from tests.fakes.gateway import Gateway
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.journal.index.blocks import Entry

DEADLINE = 60.0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def found(gateway: Gateway, event: str) -> list[Entry]:
    """Of what is copied; nothing is copied by looking."""
    url = on_postgresql.environment(gateway.data).get("OSTIARY_DATABASE_URL") or sqlite_url(gateway.data)
    with closing(Database(url)) as database, database.read() as session:
        return list(newest(session, Search(event=event)))


def segments(gateway: Gateway) -> set[str]:
    return {path.name for path in (gateway.data / "journal").glob("*.jsonl")}


def workers(gateway: Gateway) -> list[int]:
    return [int(one) for one in Path(f"/proc/{gateway.pid}/task/{gateway.pid}/children").read_text().split()]


@pytest.mark.parametrize("count", [1, 2])
def test_what_the_gateway_and_commands_record_is_found_a_moment_later(tmp_path: Path, count: int) -> None:
    with Gateway(tmp_path, "--workers", str(count)) as gateway:
        gateway.add_user("alice")
        until(lambda: len(found(gateway, "person.added")) == 1)
        until(lambda: {one.segment for one in found(gateway, "journal.opened")} == segments(gateway))


def test_what_a_killed_worker_has_left_is_found(tmp_path: Path) -> None:
    with Gateway(tmp_path, "--workers", "2") as gateway:
        until(lambda: len(workers(gateway)) == 2)
        for worker in workers(gateway):
            os.kill(worker, signal.SIGKILL)
        before = segments(gateway)
        until(lambda: len(segments(gateway)) >= len(before) + 2)
        until(lambda: {one.segment for one in found(gateway, "journal.opened")} == segments(gateway))
