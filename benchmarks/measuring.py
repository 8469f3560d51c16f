"""One measurement: what a piece of load costs the door, and how long it takes."""

from __future__ import annotations

import http.client
import json
import subprocess
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import wire
from benchmarks.load import processor_seconds
from benchmarks.processes import LOAD_CORE, python
from benchmarks.upstream import COUNTS
from benchmarks.wire import Door

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST = 120.0


class LoadFailed(Exception):
    """The door did not answer as it should; measuring refusals would mean nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Microseconds of processor time per call, of the door; milliseconds of waiting; calls a second."""

    cpu: float
    p50: float
    p99: float
    rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`script` is one turn."""

    script: list[str]
    connections: int
    calls: int
    churn: bool = False


def at_once() -> None:
    """Nothing is done later."""


def measure(door: Door, pids: list[int], load: Load, settled: Callable[[], None] = at_once) -> Figures:
    """Warm up, then measure. `pids` are the door's; it is done when `settled` returns."""
    found = _run(door, load, pids)
    settled()
    calls, cpu = found["calls"], processor_seconds(pids) - found["cpu"]
    return Figures(cpu * 1e6 / calls, found["p50"] * 1e3, found["p99"] * 1e3, calls / found["seconds"])


def middle(rounds: Sequence[Figures]) -> Figures:
    """The medians of several."""
    return Figures(*(median(getattr(one, name) for one in rounds) for name in Figures.__slots__))


def _run(door: Door, load: Load, pids: list[int]) -> dict[str, Any]:
    host, port = door.address
    warm = max(300, load.calls // 10)
    work = {
        "host": host,
        "port": port,
        "script": load.script,
        "connections": load.connections,
        "calls": warm + load.calls,
        "warm": warm,
        "pids": pids,
        "churn": load.churn,
        "seconds": LONGEST,
    }
    command = ["taskset", "-c", str(LOAD_CORE), *python("benchmarks.load")]
    done = subprocess.run(command, input=json.dumps(work), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    if found["failed"] or not found["calls"]:
        raise LoadFailed(f"{found['failed']} of {found['calls']} calls failed, the first with: {found['refusal']}")
    return found


def counts(url: str) -> dict[str, int]:
    """How often somebody connected to the server behind the door, and greeted it."""
    host, port = Door(url).address
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        connection.request("GET", COUNTS)
        found: dict[str, int] = json.loads(connection.getresponse().read())
        return found
    finally:
        connection.close()


def open_session(door: Door) -> str:
    """A legacy session, shaken hands over; its id."""
    host, port = door.address
    connection = http.client.HTTPConnection(host, port, timeout=30)
    try:
        session = _post(connection, wire.initialize(door))
        _post(connection, wire.initialized(door, session))
    finally:
        connection.close()
    return session


def _post(connection: http.client.HTTPConnection, request: str) -> str:
    head, _, body = request.partition("\r\n\r\n")
    line, *lines = head.split("\r\n")
    headers = dict(header.split(": ", 1) for header in lines)
    connection.request("POST", line.split(" ")[1], body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status >= 300:
        raise LoadFailed(f"{line} was answered with {answer.status}")
    return answer.headers.get("Mcp-Session-Id", "")
