"""T-81 and T-82 for the journal alone: a writer is killed at random instants, many times a second."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.journal.verify import verify
from gateway.journal.writer import open_journal
from tests.gateway.journal.conftest import KEY, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "left").touch()
    (tmp_path / "answered").touch()
    return tmp_path


@pytest.fixture
def server(place: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.faults.writing", str(place / "journal")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def start(server: subprocess.Popen[str], line: str) -> int:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(line + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def died(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    assert server.stdout.readline() == "dead\n"


def check(place: Path) -> Counter[str]:
    """The promise P-1, from what the other side counted; gives how the calls ended."""
    open_journal(place / "journal", KEY).close()  # the next start
    records = lines(place / "journal")
    intents = [record["call"] for record in records if record["event"] == "call.intent"]
    outcomes = {record["call"]: record["outcome"] for record in records if record["event"] == "call.outcome"}
    concluded = [record["call"] for record in records if record["event"] == "call.outcome"]
    left = set((place / "left").read_text().split())
    answered = set((place / "answered").read_text().split())
    assert left <= set(intents), "a call left without an intent"
    assert all(outcomes[call] == "ok" for call in answered), "an answer returned without its outcome"
    assert sorted(intents) == sorted(concluded), "an intent without its one outcome"
    assert verify(place / "journal", KEY).problems == []
    return Counter(outcomes.values())


def until_answered(place: Path, pid: int) -> None:
    end = time.monotonic() + 60
    while f"{pid}." not in (place / "answered").read_text():
        assert time.monotonic() < end, "it answers nothing"
        time.sleep(0.002)


def killed(place: Path, server: subprocess.Popen[str], kills: int) -> None:
    dice = random.Random(81)
    for number in range(kills):
        pid = start(server, "go")
        if number % 4 == 0:  # it lives to answer once at least, however slow its disk is
            until_answered(place, pid)
        time.sleep(dice.random() ** 2 * 0.06)
        os.kill(pid, signal.SIGKILL)
        died(server)
    outcomes = check(place)
    assert outcomes["ok"] > 0
    assert outcomes["unknown"] > 0
    assert outcomes["unknown"] <= kills


def test_t_81_a_writer_that_is_killed_at_any_instant_loses_no_record(
    place: Path, server: subprocess.Popen[str]
) -> None:
    killed(place, server, 40)


@pytest.mark.faults
def test_t_81_the_same_many_more_times(place: Path, server: subprocess.Popen[str]) -> None:
    killed(place, server, 2 * int(os.environ.get("KILLS", "100")))


def test_t_82_killed_between_the_answer_and_its_outcome_the_record_says_unknown(
    place: Path, server: subprocess.Popen[str]
) -> None:
    for _ in range(5):
        start(server, "between")
        died(server)
    outcomes = check(place)
    assert outcomes == {"ok": 25, "unknown": 5}
