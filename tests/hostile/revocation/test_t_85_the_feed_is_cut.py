"""T-85: what tells us of revocations is cut off: it is said, and soon nothing is judged by old news."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from gateway import snapshots
from tests.fakes.door import Legacy, Line, modern, open_door
from tests.fakes.furnished import minted
from tests.fakes.network.valve import Valve
from tests.gateway.oauth.house import House
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx2

LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as shared:
    fcntl.lockf(shared, fcntl.LOCK_EX, 8, 120)  # every lock of the write-ahead log
    print("locked", flush=True)
    sys.stdin.read()
"""
PATIENCE = 40.0  # seconds: SQLite tries for 15 before it gives up, and a connection that is lost is tried again


class Watched:
    """A house, and somebody's token there."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.token = minted(house, house.person(), house.client())
        until(lambda: self.call().status_code == 200)

    def call(self) -> httpx2.Response:
        headers, body = modern(self.token, "tools/list")
        with self.house.http() as http:
            return http.post("/mcp", content=body, headers=headers)

    def readiness(self) -> tuple[int, dict[str, str]]:
        """The status, and what is said of the database."""
        with self.house.http() as http:
            answer = http.get("/readyz")
        (check,) = [check for check in answer.json()["checks"] if check["name"] == "database"]
        return answer.status_code, check


@pytest.fixture
def pass_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """As if so many seconds had gone by for whoever counts since when nothing was heard."""
    gone = 0.0

    def add(seconds: float) -> None:
        nonlocal gone
        gone += seconds

    monkeypatch.setattr(snapshots, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + gone))
    return add


@pytest.fixture
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def stops(watched: Watched, pass_by: Callable[[float], None]) -> None:
    """The whole course of it, from a feed that has just been cut."""
    assert watched.call().status_code == 200, "a database may be away for a while"
    pass_by(11)
    status, check = watched.readiness()
    assert (status, check["state"]) == (200, "amber")
    assert "calls stop after 60 s" in check["why"]
    assert check["remedy"]
    assert watched.call().status_code == 200
    pass_by(50)
    status, check = watched.readiness()
    assert (status, check["state"]) == (503, "red")
    refused = watched.call()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "revoked" in refused.text
    with watched.house.http() as http:
        assert http.get("/healthz").status_code == 200, "restarting us would not help"


def comes_back(watched: Watched) -> None:
    until(lambda: watched.call().status_code == 200)
    until(lambda: watched.readiness()[1]["state"] == "green")


def test_t_85_sqlite_is_locked_by_another_process(tmp_path: Path, pass_by: Callable[[float], None]) -> None:
    file = tmp_path / "own.db"
    with House(tmp_path / "house", database_url=f"sqlite:///{file}") as house:
        watched = Watched(house)
        lock = [sys.executable, "-c", LOCK, f"{file}-shm"]
        other = subprocess.Popen(lock, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"locked\n"
            stops(watched, pass_by)
        finally:
            other.communicate(b"", timeout=PATIENCE)
        comes_back(watched)


def test_t_85_the_file_of_sqlite_is_replaced(tmp_path: Path, pass_by: Callable[[float], None]) -> None:
    """What others revoke in the new file would never be heard: the old one lives on for whoever has it open."""
    file, old = tmp_path / "own.db", tmp_path / "old.db"
    with House(tmp_path / "house", database_url=f"sqlite:///{file}") as house:
        watched = Watched(house)
        file.rename(old)
        until(lambda: "replaced or removed" in watched.readiness()[1].get("why", ""))
        file.write_bytes(old.read_bytes())
        stops(watched, pass_by)
        old.rename(file)
        comes_back(watched)


@pytest.mark.servers
@pytest.mark.parametrize("way", ["refused", "paused"])
def test_t_85_postgresql_is_away(tmp_path: Path, server: str, pass_by: Callable[[float], None], way: str) -> None:
    url = make_url(server)
    assert url.port is not None
    with (
        Valve(url.port) as valve,
        House(tmp_path / "house", database_url=url.set(port=valve.port).render_as_string(hide_password=False)) as house,
    ):
        watched = Watched(house)
        (valve.shut if way == "refused" else valve.stop)()
        stops(watched, pass_by)
        (valve.open if way == "refused" else valve.go_on)()
        comes_back(watched)


async def test_t_85_nothing_is_told_by_old_news_and_its_stream_ends(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line, Legacy(door) as legacy:
        wish = {"notifications": {"toolsListChanged": True}}
        await line.send("POST", "/mcp", *modern(door.token(), "subscriptions/listen", wish))
        assert (await line.head()).status == 200
        await line.event()
        await legacy.send("GET", "/mcp", legacy.headers)
        assert (await legacy.head()).status == 200

        door.snapshots.is_fresh = False
        door.snapshots.turn(catalogue=door.snapshots.current.catalogue)

        last = await line.event()
        assert last["result"]["resultType"] == "complete"
        while await legacy.event() is not None:
            pytest.fail("something was told")
