"""Servers of other people in a sandbox behind the real gateway: from the operator's file to an answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests import npm, pypi
from tests.fakes.door import META, MODERN
from tests.fakes.gateway import CommandFailed, Gateway
from tests.fakes.servers.channels import alive, descendants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.servers

FILESYSTEM = ("@modelcontextprotocol/server-filesystem", "2026.8.31")
MEMORY = ("@modelcontextprotocol/server-memory", "2026.8.31")
BASE = Path(sys.executable).resolve().parents[1]  # the Python that environments are made of


@dataclass
class Declared:
    """The operator's file, and a gateway that reads it."""

    file: Path
    data: Path

    def write(self, tables: dict[str, dict[str, Any]]) -> None:
        lines = []
        for slug, table in tables.items():
            lines += ["[[stdio_servers]]", f'slug = "{slug}"']
            lines += [f"{name} = {toml(value)}" for name, value in table.items()]
        self.file.write_text("\n".join(lines) + "\n")

    def gateway(self) -> Gateway:
        return Gateway(self.data, "--config", str(self.file))


def toml(value: Any) -> str:
    """JSON is TOML but for its tables."""
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{" + ", ".join(f"{name} = {json.dumps(each)}" for name, each in value.items()) + "}"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    place = tmp_path_factory.mktemp("places")
    repository, files, memory = place / "repository", place / "files", place / "memory"
    for one in (repository, files, memory):
        one.mkdir()
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    (repository / "new.txt").write_text("not committed")
    (files / "letter.txt").write_text("Dear caretaker")
    python = [str(pypi.environment()), str(BASE)]
    node = [str(npm.TOOLS)]
    return {
        "time": {"command": [str(pypi.program("mcp-server-time"))], "read": python, "per": "server"},
        "git": {
            "command": [str(pypi.program("mcp-server-git")), "--repository", str(repository)],
            "read": python,
            "directory": str(repository),
        },
        "files": {
            "command": [npm.node(), str(npm.package(*FILESYSTEM) / "dist" / "index.js"), str(files)],
            "read": node,
            "directory": str(files),
            "memory": 2**30,
        },
        "memory": {
            "command": [npm.node(), str(npm.package(*MEMORY) / "dist" / "index.js")],
            "read": node,
            "env": {"MEMORY_FILE_PATH": str(memory / "memory.jsonl")},
            "directory": str(memory),
            "memory": 2**30,
        },
    }


@pytest.fixture(scope="module")
def declared(tables: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Declared:
    place = tmp_path_factory.mktemp("stdio")
    found = Declared(place / "ostiary.toml", place / "data")
    found.write(tables)
    return found


@pytest.fixture(scope="module")
def gateway(declared: Declared, tables: dict[str, dict[str, Any]]) -> Iterator[Gateway]:
    with declared.gateway() as running:
        running.add_user("ann")
        for slug in tables:
            shown(running, slug, lambda one: one["probed_at"] is not None)
            running.run("server", "approve", slug, "--yes", "--accept-findings")
            running.allow("user:ann", f"{slug}.*")
        yield running


def shown(gateway: Gateway, slug: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 60
    while True:
        found: dict[str, Any] = json.loads(gateway.run("server", "show", slug, "--json"))
        if holds(found):
            return found
        assert time.monotonic() < end, (found, gateway.output())
        time.sleep(0.2)


def wait_until_gone(pids: list[int]) -> None:
    end = time.monotonic() + 60
    while alive(pids):
        assert time.monotonic() < end
        time.sleep(0.1)


def ask(gateway: Gateway, method: str, **params: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    headers = {
        "Authorization": f"Bearer {gateway.token('ann', '/mcp')}",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": method,
    }
    if "name" in params:
        headers["Mcp-Name"] = params["name"]
    said = httpx2.post(f"{gateway.url}/mcp", json=body, headers=headers, timeout=60)
    text = said.text
    if said.headers["content-type"].startswith("text/event-stream"):
        text = [line for line in text.splitlines() if line.startswith("data:")][-1].removeprefix("data:")
    found: dict[str, Any] = json.loads(text)
    return found


def call(gateway: Gateway, name: str, **arguments: Any) -> str:
    """The text of its answer, once its tool is in the catalogue."""
    end = time.monotonic() + 60
    while True:
        said = ask(gateway, "tools/call", name=name, arguments=arguments)
        if "result" in said:
            return "".join(one.get("text", "") for one in said["result"]["content"])
        assert time.monotonic() < end, (said, gateway.output())
        time.sleep(0.2)


def test_each_of_them_answers(gateway: Gateway, tables: dict[str, dict[str, Any]]) -> None:
    assert "Europe/Berlin" in call(gateway, "time_get_current_time", timezone="Europe/Berlin")
    assert "new.txt" in call(gateway, "git_git_status", repo_path=tables["git"]["directory"])
    letter = str(Path(tables["files"]["directory"]) / "letter.txt")
    assert "Dear caretaker" in call(gateway, "files_read_text_file", path=letter)
    entity = {"name": "Ann", "entityType": "person", "observations": ["likes tea"]}
    call(gateway, "memory_create_entities", entities=[entity])
    assert "likes tea" in call(gateway, "memory_read_graph")
    assert "likes tea" in (Path(tables["memory"]["directory"]) / "memory.jsonl").read_text()


def test_what_is_run_is_shown_with_what_it_may_reach(gateway: Gateway, tables: dict[str, dict[str, Any]]) -> None:
    said = gateway.run("server", "show", "git")
    assert "mcp-server-git --repository" in said
    assert f"may write {tables['git']['directory']}; no network" in said
    assert "in a sandbox (bubblewrap)" in said


def test_doctor_says_how_each_is_run(gateway: Gateway, declared: Declared) -> None:
    checks = json.loads(_doctor(gateway, declared))["checks"]
    found = {check["name"]: check for check in checks if check["name"].startswith("process ")}
    assert {name.removeprefix("process ") for name in found} == {"time", "git", "files", "memory"}
    assert {check["state"] for check in found.values()} == {"green"}


def _doctor(gateway: Gateway, declared: Declared) -> str:
    """It exits with 1 for what a test leaves undone; what it says is the same."""
    command = [sys.executable, "-m", "gateway", "doctor", "--json", "--config", str(declared.file)]
    command += ["--data", str(gateway.data)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[4]).stdout


def test_it_is_not_asked_without_the_file(gateway: Gateway) -> None:
    with pytest.raises(CommandFailed, match="the operator's file does not declare it"):
        gateway.run("server", "refresh", "time")


def test_another_command_waits_for_review_and_an_undeclared_one_is_suspended(
    tables: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    declared = Declared(tmp_path / "ostiary.toml", tmp_path / "data")
    declared.write({"time": tables["time"]})
    with declared.gateway() as running:
        running.add_user("ann")
        shown(running, "time", lambda one: one["probed_at"] is not None)
        running.run("server", "approve", "time", "--yes", "--accept-findings")
        running.allow("user:ann", "time.*")
        assert "UTC" in call(running, "time_get_current_time", timezone="UTC")
        tree = descendants(running.pid)
        assert len(tree) >= 2
        running.run("server", "suspend", "time")
        wait_until_gone(tree)
        running.run("server", "resume", "time")
        assert "UTC" in call(running, "time_get_current_time", timezone="UTC")
        tree = descendants(running.pid)
    assert not alive(tree)
    declared.write({"time": tables["time"] | {"network": True}})
    with declared.gateway() as running:
        assert "error" in ask(running, "tools/call", name="time_get_current_time", arguments={"timezone": "UTC"})
        assert "network" in running.run("server", "diff", "time")
        running.run("server", "approve", "time", "--yes", "--accept-findings")
        assert "UTC" in call(running, "time_get_current_time", timezone="UTC")
    declared.write({})
    with declared.gateway() as running:
        assert "error" in ask(running, "tools/call", name="time_get_current_time", arguments={"timezone": "UTC"})
        assert shown(running, "time", bool)["state"] == "suspended"
    declared.write({"time": tables["time"] | {"network": True}})
    with declared.gateway() as running:
        assert "UTC" in call(running, "time_get_current_time", timezone="UTC")
