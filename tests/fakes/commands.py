"""`ostiary ARGUMENTS`, forked from a process of this one's that has the modules of every verb."""

from __future__ import annotations

import atexit
import subprocess
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes import forking
from tests.fakes.processes import ROOT, announced_url, end, start

if TYPE_CHECKING:
    from collections.abc import Mapping

_STARTING = threading.Lock()


@dataclass(frozen=True)
class Done:
    """How it ended."""

    returncode: int
    stdout: str
    stderr: str


def run(arguments: list[str], environment: Mapping[str, str], given: str = "") -> Done:
    with _STARTING:
        place, _ = _listening()
    with ExitStack() as stack:
        read, said, complained = (stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(3))
        read.write(given)
        read.seek(0)
        streams = (read.fileno(), said.fileno(), complained.fileno())
        code = forking.ask(place, arguments, dict(environment), streams, str(ROOT))
        said.seek(0)
        complained.seek(0)
        return Done(code, said.read(), complained.read())


@cache
def _listening() -> tuple[str, subprocess.Popen[str]]:
    """Where it is, and the process; it ends with this one, whose end of its standard input is closed then."""
    place = Path(tempfile.mkdtemp(prefix="ostiary-commands-")) / "socket"
    process = start("-m", "tests.fakes.commands", str(place), stdin=subprocess.PIPE)
    atexit.register(_end, process)
    return announced_url(process), process


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    end(process)


def main() -> None:
    import shutil
    import sys
    from importlib import import_module

    import gateway.assembly  # noqa: F401 - what every verb needs
    from gateway.cli import VERBS

    place = Path(sys.argv[1])
    for module in sorted(set(VERBS.values()) - {"up"}):
        import_module(f"gateway.cli.{module}")
    try:
        forking.serve(str(place), "gateway")
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
