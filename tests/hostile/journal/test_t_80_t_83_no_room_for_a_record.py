"""T-80 and T-83 with the whole gateway: no room for a record, so nothing leaves; then there is room again.

The kernel refuses in earnest: the running process is given a limit on the size of files, and has it taken away.
"""

from __future__ import annotations

import json
import resource
import time
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import Gateway
from tests.fakes.modern import ask
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATH = "/servers/counting/mcp"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def gateway(tmp_path: Path, log: Path) -> Iterator[Gateway]:
    with running("-m", "tests.faults.upstream", "--log", str(log)) as upstream, Gateway(tmp_path / "data") as gateway:
        gateway.add_server("counting", upstream)
        gateway.add_user("ada")
        gateway.allow("user:ada", "counting.*")
        yield gateway


def limit(gateway: Gateway, size: int) -> None:
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def ready(gateway: Gateway) -> httpx2.Response:
    return httpx2.get(f"{gateway.url}/readyz", timeout=60)


def test_t_80_t_83_without_room_nothing_leaves_and_with_room_it_goes_on(gateway: Gateway, log: Path) -> None:
    token = gateway.token("ada", PATH)

    def call(text: str) -> httpx2.Response:
        return ask(gateway.url + PATH, token, "tools/call", name="echo", arguments={"text": text})

    until(lambda: call("before").status_code == 200)
    reached = log.read_text().splitlines()
    limit(gateway, 1)
    for number in range(20):
        refused = call(f"refused {number}")
        assert refused.status_code == 503
        assert "result" not in refused.text
    assert log.read_text().splitlines() == reached
    assert ready(gateway).status_code == 503
    assert "journal" in ready(gateway).text
    limit(gateway, resource.RLIM_INFINITY)
    until(lambda: ready(gateway).status_code == 200)
    assert call("after").status_code == 200
    report = json.loads(gateway.run("audit", "verify", "--json"))
    assert report["problems"] == []
    intents = json.loads(gateway.run("audit", "search", "--event", "call.intent", "--json"))
    texts = [intent["arguments"]["text"] for intent in intents]
    assert texts == [*reached, "after"]
