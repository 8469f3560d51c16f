"""Start a server as a process of its own and wait for the line in which it says where it listens."""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
START_DEADLINE = 120.0  # seconds: a machine whose cores are shared may be at a fifth of its speed
END_DEADLINE = 60.0


class DidNotStart(Exception):
    pass


@contextlib.contextmanager
def running(*command: str, **popen: Any) -> Iterator[str]:
    """The URL of a Python program that prints `{"url": ...}`; it is ended on leaving."""
    process = start(*command, **popen)
    try:
        yield announced_url(process)
    finally:
        end(process)


def start(*command: str, **popen: Any) -> subprocess.Popen[str]:
    """Python with `command`; the caller ends it."""
    popen.setdefault("cwd", ROOT)
    return subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, **popen)


def announced_url(process: subprocess.Popen[str]) -> str:
    """What the process says in its first line, awaited with a deadline."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_DEADLINE)
    line = process.stdout.readline() if ready else ""
    if not line:
        raise DidNotStart(f"{process.args!r} said nothing within {START_DEADLINE:g} s")
    url: str = json.loads(line)["url"]
    return url


def end(process: subprocess.Popen[str]) -> int:
    """SIGTERM, and SIGKILL only for one that does not go."""
    process.terminate()
    try:
        return process.wait(END_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
    finally:
        if process.stdout is not None:
            process.stdout.close()
