"""Processes held to one core, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
PAGE = os.sysconf("SC_PAGE_SIZE")
CORES = sorted(os.sched_getaffinity(0))
DOOR_CORE, LOAD_CORE = CORES[0], CORES[-1]


@contextlib.contextmanager
def pinned(
    command: Sequence[str], core: int, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A process on one core; ended on leaving."""
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
    )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.communicate()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def announced_url(process: subprocess.Popen[str]) -> str:
    """What a server of ours says when it listens."""
    assert process.stdout is not None
    url: str = json.loads(process.stdout.readline())["url"]
    return url


def resident(pids: Sequence[int]) -> int:
    """Bytes that they have in memory now."""
    found = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return found


def tree(root: int) -> list[int]:
    """The process `root` and all below it."""
    found, children = [root], _children()
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    return children
