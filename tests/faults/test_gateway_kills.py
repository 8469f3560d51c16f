"""T-81 and T-82 with the whole gateway: killed under 200 calls a second; the server's own count is compared after."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.wire import Door, modern
from gateway.journal.segments import is_alive
from tests.fakes.deadlines import within
from tests.fakes.gateway import Gateway
from tests.fakes.processes import running
from tests.faults.load import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

KILLS = int(os.environ.get("KILLS", "100"))
WHOLE = 3  # of them take the parent along
TOKEN_LIFE = 200.0
PATH = "/servers/counting/mcp"

pytestmark = pytest.mark.faults


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log").touch()
    return tmp_path / "log"


@pytest.fixture
def upstream(log: Path) -> Iterator[str]:
    with running("-m", "tests.faults.upstream", "--log", str(log)) as url:
        yield url


def prepared(gateway: Gateway, upstream: str) -> None:
    gateway.add_server("counting", upstream)
    gateway.add_user("ada")
    gateway.allow("user:ada", "counting.*")


def door(gateway: Gateway) -> Door:
    return Door(gateway.url + PATH, gateway.token("ada", PATH))


def writers(gateway: Gateway) -> list[int]:
    """The serving processes that live and can write."""
    journal = gateway.data / "journal"
    writing = [path.stem for path in journal.glob("*.alive") if is_alive(journal, path.stem)]
    pids = (int(writer.split("-")[-2]) for writer in writing)
    return sorted(pid for pid in pids if _lives(pid))


def _lives(pid: int) -> bool:
    """Neither gone nor waiting to be buried; a dead writer's lock is held for a moment by whoever settles it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def some_writer(gateway: Gateway, dice: random.Random) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        alive = writers(gateway)
        if len(alive) > 1:
            return dice.choice(alive)
        await asyncio.sleep(0.02)
    raise AssertionError("no workers came back")


async def kill_workers(gateway: Gateway, load: Load, kills: int, dice: random.Random) -> None:
    renewed = time.monotonic()
    for _ in range(kills):
        await asyncio.sleep(dice.uniform(0.05, 0.6))
        os.kill(await some_writer(gateway, dice), signal.SIGKILL)
        if time.monotonic() > renewed + TOKEN_LIFE:
            load.door, renewed = await asyncio.to_thread(door, gateway), time.monotonic()


def records(data: Path) -> list[dict[str, Any]]:
    paths = sorted((data / "journal").glob("*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def reached(log: Path) -> list[str]:
    """What the server wrote down."""
    return log.read_text().split("\n")[:-1]


def check(data: Path, log: Path, answered: set[str]) -> Counter[str]:
    """The promise P-1, from what clients and server counted; gives how the calls ended."""
    found = records(data)
    intents = {record["call"]: record["arguments"]["text"] for record in found if record["event"] == "call.intent"}
    outcomes = [(record["call"], record["outcome"]) for record in found if record["event"] == "call.outcome"]
    texts = Counter(intents.values())
    by_text = {intents[call]: outcome for call, outcome in outcomes}
    arrived = Counter(reached(log))
    assert arrived.keys() <= texts.keys(), "a call left without an intent"
    assert all(number <= texts[text] for text, number in arrived.items())
    assert {by_text[text] for text in answered} <= {"ok"}, "a success without its outcome"
    assert sorted(call for call, _ in outcomes) == sorted(intents), "an intent without its one outcome"
    return Counter(outcome for _, outcome in outcomes)


def settled(gateway: Gateway) -> dict[str, Any]:
    """After the next start, what the gateway itself says of its record."""
    journal = gateway.data / "journal"
    with gateway:
        deadline = time.monotonic() + 60
        while not all(is_alive(journal, path.stem) for path in journal.glob("*.alive")):
            assert time.monotonic() < deadline, "the dead are not settled"
            time.sleep(0.1)
    report: dict[str, Any] = json.loads(gateway.run("audit", "verify", "--json"))
    return report


async def test_t_81_kills_at_random_instants_under_load_lose_no_record(
    tmp_path: Path, upstream: str, log: Path
) -> None:
    gateway = Gateway(tmp_path / "data", "--workers", "3")
    dice = random.Random(81)
    answered: set[str] = set()
    for generation in range(WHOLE):
        with gateway:
            if generation == 0:
                await asyncio.to_thread(prepared, gateway, upstream)
            async with Load(await asyncio.to_thread(door, gateway)) as load:
                load._numbers = itertools.count(generation * 10_000_000)
                await kill_workers(gateway, load, KILLS // WHOLE - 1, dice)
                await asyncio.sleep(dice.uniform(0.1, 0.5))
                os.killpg(gateway.pid, signal.SIGKILL)
            answered |= load.answered
    report = await asyncio.to_thread(settled, gateway)
    outcomes = check(gateway.data, log, answered)
    assert report["sound"], report["problems"]
    assert len(answered) > KILLS
    assert outcomes["unknown"] > 0


async def test_t_82_killed_between_the_answer_and_its_outcome_nobody_is_told_of_success(
    tmp_path: Path, upstream: str, log: Path
) -> None:
    gateway = Gateway(tmp_path / "data")
    texts = []
    for generation in range(3):
        with gateway:
            if generation == 0:
                await asyncio.to_thread(prepared, gateway, upstream)
            here = await asyncio.to_thread(door, gateway)
            texts.append(f"between {gateway.pid}")
            reader, writer = await asyncio.open_connection(*here.address)
            request = modern(here, "tools/call", {"name": "echo", "arguments": {"text": texts[-1]}})
            writer.write(request.encode())
            assert await within(reader.read(), 20) == b""
            writer.close()
    report = await asyncio.to_thread(settled, gateway)
    assert report["sound"], report["problems"]
    assert reached(log) == texts
    assert check(gateway.data, log, set()) == {"unknown": 3}
