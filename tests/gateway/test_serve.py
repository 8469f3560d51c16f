"""Ends: of workers that cannot live, and of processes in which something hangs."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

HOPELESS = """
import logging
from gateway import workers

logging.basicConfig()
workers.RESPAWN_PAUSE = 0
workers.YOUNG = 3600  # also on a machine where it takes long until one has failed

def refuse():
    raise LookupError("nothing here knows this")

workers.Workers(refuse, 1, []).run(lambda: None)
"""


def test_workers_that_cannot_live_say_why_and_end_as_a_failure() -> None:
    ended = subprocess.run([sys.executable, "-c", HOPELESS], capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1
    assert "LookupError: nothing here knows this" in ended.stderr
    assert "giving up" in ended.stderr


UNSTOPPABLE = """
import signal, time
from gateway import workers

workers.LAST = 1
workers.LATER = 0

def hang():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("hangs", flush=True)
    time.sleep(60)

workers.Workers(hang, 2, []).run(lambda: None)
"""

# A thread in the midst of a question to a database that does not answer.
STUCK = """
import asyncio, sys, time
from gateway import serve
from gateway.cli import main
from gateway.upstream.refreshing.refresh import Refresher

serve.LAST = 1

async def leave(self):
    await asyncio.to_thread(time.sleep, 600)

Refresher._leave = leave
main(sys.argv[1:])
"""


class Program:
    """`with Program(code) as program:`; killed at the end, if it still runs."""

    def __init__(self, code: str, *arguments: str) -> None:
        command = [sys.executable, "-c", code, *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._deadline = threading.Timer(120, self.process.kill)

    def __enter__(self) -> Self:
        self._deadline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._deadline.cancel()
        self.process.kill()
        self.process.wait(60)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def wait_for(self, word: str, times: int = 1) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            times -= word in line
            if times == 0:
                return
        raise AssertionError(f"it never said {word}")

    def told_to_stop(self) -> tuple[int, str]:
        """Its exit code and what it complained of, once it has ended."""
        self.process.terminate()
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


def test_workers_that_do_not_end_are_killed_and_it_is_no_good_end() -> None:
    with Program(UNSTOPPABLE) as program:
        program.wait_for("hangs", 2)
        status, said = program.told_to_stop()
    assert status == 1
    assert "did not end and are killed" in said


def test_a_process_in_which_something_hangs_ends_all_the_same_and_says_where(tmp_path: Path) -> None:
    with Program(STUCK, "up", "--port", "0", "--data", str(tmp_path)) as program:
        program.wait_for("Ctrl-C")
        status, said = program.told_to_stop()
    assert status == 1
    assert "most recent call first" in said
