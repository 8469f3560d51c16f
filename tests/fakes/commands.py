"""`ostiary ARGUMENTS` and the like, forked from a process of this one's that has read the modules for it."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fakes import forking
from tests.fakes.processes import ROOT, announced_url, end, start

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS: Final = "gateway"
SHARED: Final = "TESTS_COMMANDS"  # in the environment: where a process of ours finds the one that its parent has
_STARTING = threading.Lock()


@dataclass(frozen=True)
class Done:
    """How it ended."""

    returncode: int
    stdout: str
    stderr: str


def run(arguments: list[str], environment: Mapping[str, str], given: str = "") -> Done:
    with _STARTING:
        place = os.environ.get(SHARED) or listening(OURS)
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
def listening(module: str) -> str:
    """Where `python -m module` is to be asked for. It ends with this process, which holds its standard input open."""
    place = Path(tempfile.mkdtemp(prefix="ostiary-commands-")) / "socket"
    process = start("-m", "tests.fakes.commands", module, str(place), stdin=subprocess.PIPE)
    atexit.register(_end, process)
    return announced_url(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    end(process)


def main() -> None:
    module, place = sys.argv[1], Path(sys.argv[2])
    if module == OURS:
        import gateway.assembly  # noqa: F401 - what every verb needs
        from gateway.cli import VERBS

        for verb in sorted(set(VERBS.values()) - {"up"}):
            import_module(f"gateway.cli.{verb}")
    else:
        import_module(module)
    try:
        forking.serve(str(place), module)
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)


if __name__ == "__main__":
    main()
