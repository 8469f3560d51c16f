"""Processes of a gateway with several workers: each worker has its own, and all of them go with it."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx2

from tests.fakes.door import META, MODERN
from tests.fakes.gateway import Gateway
from tests.fakes.servers.channels import FAKE, PYTHON, alive, descendants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE = 60.0


def ask(gateway: Gateway, token: str, tool: str) -> dict[str, Any]:
    """On a connection of its own, so that any worker may answer."""
    params = {"name": tool, "arguments": {"text": "x"}, "_meta": META}
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    said: dict[str, Any] = httpx2.post(f"{gateway.url}/mcp", json=body, headers=headers, timeout=30).json()
    return said


def wait(holds: Callable[[], object], what: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


def test_each_worker_has_its_own_and_all_go_with_the_gateway_even_when_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    command = json.dumps([str(PYTHON), str(FAKE), "--stubborn"])
    file.write_text(f'[[stdio_servers]]\nslug = "piped"\ncommand = {command}\nsandbox = "off"\n')
    with Gateway(tmp_path / "data", "--config", str(file), "--workers", "2") as gateway:
        gateway.add_user("ann")
        read = lambda: json.loads(gateway.run("server", "show", "piped", "--json"))["probed_at"]  # noqa: E731
        wait(read, gateway.output)
        gateway.run("server", "approve", "piped", "--yes", "--accept-findings")
        gateway.allow("user:ann", "piped.*")
        token = gateway.token("ann", "/mcp")
        wait(lambda: "result" in ask(gateway, token, "piped_pid"), gateway.output)
        seen: set[str] = set()

        def another() -> bool:
            seen.add(ask(gateway, token, "piped_pid")["result"]["content"][0]["text"])
            return len(seen) == 2

        wait(another, lambda: seen)
        tree = descendants(gateway.pid)
        os.kill(gateway.pid, signal.SIGKILL)
        wait(lambda: not alive(tree), lambda: alive(tree))
