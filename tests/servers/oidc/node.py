"""A server in Node that is told things while it runs: one JSON object a line, each answered by a line."""

from __future__ import annotations

import json
import select
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests import npm
from tests.fakes.processes import announced_url, end

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 60.0


class NodeServer:
    """A running one. `origin` is where it listens."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.origin = announced_url(process)

    def tell(self, command: str, **more: Any) -> None:
        """And wait until it is done."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, **more}) + "\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], DEADLINE)
        line = self._process.stdout.readline() if ready else ""
        assert line, f"{command} was not done within {DEADLINE:g} s"


@contextmanager
def node_server(script: str, package: str, version: str, config: dict[str, Any]) -> Iterator[NodeServer]:
    """While the block runs. It fails where npm or the program cannot be had."""
    folder = npm.package(package, version)
    command = [npm.node(), str(Path(__file__).parent / script), str(folder), json.dumps(config)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield NodeServer(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        end(process)
