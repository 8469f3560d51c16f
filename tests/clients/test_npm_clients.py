"""Clients and a server from npm: the TypeScript SDK, the Inspector's command line, server-everything."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import npm
from tests.fakes.ports import free_port
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clients.conftest import Portal

pytestmark = pytest.mark.servers

HERE = Path(__file__).parent
CLIENT = ("@modelcontextprotocol/client", "2.4.0")
INSPECTOR = ("@modelcontextprotocol/inspector", "2.12.0")
EVERYTHING = ("@modelcontextprotocol/server-everything", "2026.8.31")
DEADLINE = 120.0


def run(*command: str, code: int = 0, **variables: str) -> Any:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=npm.environment() | variables,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.mark.parametrize("mode", ["2026-07-28", "auto", "legacy"])
def test_the_typescript_sdk_calls_tools_of_both_servers(portal: Portal, mode: str) -> None:
    script = str(HERE / "typescript.mjs")
    seen = run(npm.node(), script, str(npm.package(*CLIENT)), portal.url, portal.token(), mode)
    assert {"notes_list", "notes_delete", "clock_now"} <= set(seen["tools"])
    assert seen["added"]["title"] == "From TypeScript"
    assert seen["converted"]["iso"] == "2026-11-21T14:30:00+00:00"
    assert "Door code" in seen["resource"]
    assert seen["prompt"] == 1
    assert seen["asked"] == ["[notes] Delete the note 'From TypeScript' for good?"]  # the gateway says whose it is
    assert "is deleted" in seen["deleted"]["content"][0]["text"]


class Inspector:
    """`mcp-inspector --cli`, in either era."""

    def __init__(self, portal: Portal, folder: Path, era: str) -> None:
        headers = {"Authorization": f"Bearer {portal.token()}"}
        entry = {"type": "streamable-http", "url": portal.url, "protocolEra": era, "headers": headers}
        self.config = folder / "inspector.json"
        self.config.write_text(json.dumps({"mcpServers": {"ostiary": entry}}))

    def ask(self, method: str, *arguments: str, code: int = 0) -> Any:
        program = str(npm.package(*INSPECTOR).parents[1] / ".bin" / "mcp-inspector")
        server = ("--cli", "--config", str(self.config), "--server", "ostiary", "--format", "json")
        secrets = {"MCP_INSPECTOR_SECRET_STORE": "memory"}
        return run(npm.node(), program, *server, "--method", method, *arguments, code=code, **secrets)


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_the_inspector_lists_and_calls(portal: Portal, tmp_path: Path, era: str) -> None:
    inspector = Inspector(portal, tmp_path, era)
    listed = inspector.ask("tools/list")
    assert "notes_search" in json.dumps(listed)
    found = inspector.ask("tools/call", "--tool-name", "notes_search", "--tool-arg", "query=caretaker")
    assert "Door code" in json.dumps(found)


def test_the_inspector_is_told_that_a_tool_does_not_exist(portal: Portal, tmp_path: Path) -> None:
    Inspector(portal, tmp_path, "modern").ask("tools/call", "--tool-name", "notes_nothing", code=5)


@pytest.fixture(scope="module")
def everything(portal: Portal) -> Iterator[None]:
    """The reference server of npm, which speaks the handshake only, behind the gateway."""
    port = free_port()
    command = [npm.node(), str(npm.package(*EVERYTHING) / "dist" / "index.js"), "streamableHttp"]
    process = subprocess.Popen(command, env=os.environ | {"PORT": str(port)}, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        portal.gateway.add_server("everything", f"http://127.0.0.1:{port}/mcp")
        portal.gateway.allow("user:alice", "everything.*")
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
        else:
            return


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.usefixtures("everything")
def test_a_third_partys_legacy_server_serves_clients_of_both_eras(portal: Portal, tmp_path: Path, era: str) -> None:
    inspector = Inspector(portal, tmp_path, era)
    assert "everything_echo" in json.dumps(inspector.ask("tools/list"))
    said = inspector.ask("tools/call", "--tool-name", "everything_echo", "--tool-arg", "message=hello")
    assert "hello" in json.dumps(said)
    prompts = inspector.ask("prompts/list")
    assert "everything_" in json.dumps(prompts)


TASKS = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
RELATED = "io.modelcontextprotocol/related-task"


def tasks_of(portal: Portal, tool: str, **arguments: Any) -> Any:
    """What the TypeScript SDK of 2025-11-25 sees of a tool that it runs as a task, and of a second that it cancels."""
    sdk = npm.package(*EVERYTHING).parent / "sdk"  # the one that the reference server is built on
    script = str(HERE / "tasks.mjs")
    seen = run(npm.node(), script, str(sdk), portal.url, portal.token(), tool, json.dumps(arguments))
    assert seen["capability"] == TASKS
    assert seen["created"]["status"] == "working"
    assert seen["created"]["ttl"] == 60000
    assert seen["created"]["taskId"] in seen["listed"]
    assert seen["cancelled"]["status"] == "cancelled"
    assert seen["again"]["_meta"][RELATED] == {"taskId": seen["created"]["taskId"]}
    assert all(one["meta"][RELATED] == {"taskId": seen["created"]["taskId"]} for one in seen["asked"])
    return seen


@pytest.mark.usefixtures("everything")
def test_a_third_partys_client_runs_tasks_of_a_third_partys_server(portal: Portal) -> None:
    seen = tasks_of(portal, "everything_simulate-research-query", topic="python", ambiguous=True)
    assert seen["support"] == "required"
    assert [one["message"][:12] for one in seen["asked"]] == ["[everything]"]
    assert seen["statuses"][-1] == "input_required"
    assert seen["told"][-1]["status"] == "completed"
    assert "# Research Report: python" in seen["result"]["content"][0]["text"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_a_third_partys_client_runs_tasks_in_either_form(portal: Portal, era: str) -> None:
    with running("-m", "tests.fakes.fixture", "--era", era) as url:
        portal.gateway.add_server(f"jobs-{era}", url)
        portal.gateway.allow("user:alice", f"jobs-{era}.*")
        seen = tasks_of(portal, f"jobs-{era}_confirm_delete", filename="f")
        portal.gateway.run("server", "retire", f"jobs-{era}")
    assert [one["message"] for one in seen["asked"]] == [f"[jobs-{era}] Delete f?"]
    assert seen["again"]["content"][0]["text"] == "confirmed: accept"
