"""The suite's scenarios for authorization servers, against ours; a scripted browser is the person who signs in."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from typing import TYPE_CHECKING

import httpx2

from tests.clients.browser import Browser
from tests.conformance.suite import command
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fakes.gateway import Gateway

SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")


def failures(gateway: Gateway, handle: str, password: str) -> list[str]:
    """The names of the scenarios that did not pass."""
    return [name for name in SCENARIOS if not _passes(name, gateway, handle, password)]


def _passes(scenario: str, gateway: Gateway, handle: str, password: str) -> bool:
    port = free_port()
    callback = f"http://127.0.0.1:{port}/callback"
    registered = json.loads(gateway.run("client", "add", "suite", "--redirect-uri", callback, "--json"))
    client = ("--client-id", registered["client_id"], "--port", str(port), "--resource", f"{gateway.url}/mcp")
    print(f"\n== authorization server: {scenario}")
    # Both run: the second one needs what the first one has read.
    process = subprocess.Popen(
        command(
            "authorization",
            "--url",
            gateway.url,
            *client,
            *(() if scenario == SCENARIOS[1] else ("--scenario", scenario)),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    for line in _lines(process):
        print(line, end="")
        if re.match(r"https?://\S+[?&]response_type=code", line):
            asyncio.run(_consent(gateway.url, handle, password, line.strip()))
    return process.wait() == 0


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


async def _consent(home: str, handle: str, password: str, url: str) -> None:
    async with Browser(home, handle, password) as browser:
        callback = await browser.visit(url)
    async with httpx2.AsyncClient(trust_env=False) as http:
        await http.get(callback)
