"""The first five minutes, as a newcomer has them: `ostiary up --demo` and what it prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import ROOT, CommandFailed, Gateway
from tests.fakes.modern import result
from tests.fakes.ports import free_port
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door") / "data", "--demo") as gateway:
        yield gateway


def _tools(door: Gateway, who: str) -> list[str]:
    url = f"{door.url}/mcp"
    return [tool["name"] for tool in result(url, door.token(who, "/mcp"), "tools/list")["tools"]]


def _children(pid: int) -> list[int]:
    """Of its first thread, which starts them."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_it_prints_the_portal_the_admin_link_and_the_demo_accounts(door: Gateway) -> None:
    printed = door.output()
    assert f"{door.url}/mcp" in printed
    assert re.search(rf"{door.url}/setup/[\w-]{{40,}}", printed)
    for account in ("editor", "reader", "nightly"):
        assert re.search(rf"^ +{account} +\S{{20,}}$", printed, re.MULTILINE)


@pytest.mark.parametrize("client", ["Claude Code", "Cursor", "VS Code", "MCP Inspector", "Python SDK"])
def test_it_prints_something_to_paste_for_each_client(door: Gateway, client: str) -> None:
    assert re.search(rf"^    {client}: \S.*$", door.output(), re.MULTILINE)


def test_the_links_that_it_speaks_of_are_printed(door: Gateway) -> None:
    printed = door.output()
    assert printed.count("open the link") == len(re.findall(r"^ +(?:cursor|vscode):\S+$", printed, re.MULTILINE)) == 2


def test_it_says_how_commands_find_this_door(door: Gateway) -> None:
    found = re.search(r"`ostiary`, write:  (.+)$", door.output(), re.MULTILINE)
    assert found
    command = shlex.split(found[1].replace("COMMAND", "server list --json"))
    environment = os.environ | on_postgresql.environment(door.data)
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert [server["slug"] for server in json.loads(listed.stdout)] == ["clock", "notes"]


@pytest.mark.parametrize("client", ["claude.ai", "ChatGPT"])
def test_clients_that_call_from_a_cloud_are_said_to_need_https(door: Gateway, client: str) -> None:
    assert re.search(rf"^    {client}.*needs an https address", door.output(), re.MULTILINE)


def test_what_it_keeps_is_for_this_user_alone_also_in_a_directory_that_was_there_before(door: Gateway) -> None:
    kept = [
        path for place in ("keys/*", "journal/*", "ostiary.db*") for path in door.data.glob(place) if path.is_file()
    ]
    assert {path.parent.name for path in kept} >= {"keys", "journal"}
    assert [str(path) for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_somebody_who_types_localhost_is_told_the_right_url(door: Gateway) -> None:
    answer = httpx2.get(f"http://localhost:{door.port}/", timeout=60)
    assert answer.status_code == 421
    assert door.url in answer.text


def test_the_two_lists_differ_and_the_reader_sees_what_may_not_be_called(door: Gateway) -> None:
    editor, reader = _tools(door, "editor"), _tools(door, "reader")
    assert set(reader) < set(editor)
    assert "notes_delete" in reader
    assert "notes_add" not in reader
    assert editor == _tools(door, "editor")
    assert reader == [name for name in editor if name in reader]


def test_a_refused_call_says_why_what_to_do_and_is_on_record(door: Gateway) -> None:
    token = door.token("reader", "/mcp")
    refused = result(f"{door.url}/mcp", token, "tools/call", name="notes_delete", arguments={"note_id": "n1"})
    text = refused["content"][0]["text"]
    assert refused["isError"] is True
    assert "user:reader" in text
    assert "notes.delete" in text
    assert "administrator" in text
    decision = refused["_meta"]["dev.ostiary/decision"]
    found = json.loads(door.run("audit", "search", "--object", "notes.delete", "--json"))
    assert decision in json.dumps(found)


@pytest.mark.parametrize(("tool", "arguments"), [("notes_read", {"note_id": "n1"}), ("clock_now", {"zone": "UTC"})])
def test_a_call_to_a_server_of_either_era_is_answered_and_on_record(
    door: Gateway, tool: str, arguments: dict[str, str]
) -> None:
    answer = result(f"{door.url}/mcp", door.token("reader", "/mcp"), "tools/call", name=tool, arguments=arguments)
    assert answer["isError"] is False
    found = json.loads(door.run("audit", "search", "--object", tool.replace("_", "."), "--json"))
    record = door.run("audit", "show", found[-1]["call"])
    assert "call.intent" in record
    assert "call.outcome" in record


def test_the_record_holds_together(door: Gateway) -> None:
    assert door.run("audit", "verify")


def test_the_second_start_keeps_everything_and_the_end_is_clean(tmp_path: Path) -> None:
    with Gateway(tmp_path / "data", "--demo") as first:
        secrets = re.findall(r"^ +(?:editor|reader|nightly) +(\S{20,})$", first.output(), re.MULTILINE)
        before = _tools(first, "reader")
        beside = _children(first.pid)
        os.kill(first.pid, signal.SIGINT)
        assert first.wait() == 0
    assert len(secrets) == 3
    assert len(beside) == 2  # the two servers
    assert not any(Path(f"/proc/{pid}").exists() for pid in beside)
    with Gateway(tmp_path / "data", "--demo") as second:
        assert _tools(second, "reader") == before
        assert not any(secret in second.output() for secret in secrets)
        for another in re.findall(r"for another: `ostiary ([^`]+)`", second.output()):
            secrets.append(second.run(*another.split()).splitlines()[-1])
    assert len(set(secrets)) == 6


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_heard_as_soon_as_it_is_spoken_of(tmp_path: Path, workers: str) -> None:
    flags = ["--port", str(free_port()), "--workers", workers, "--data", str(tmp_path / "data")]
    command = [sys.executable, "-m", "gateway", "up", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert any("Ctrl-C" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_a_second_door_on_the_same_data_is_refused_and_changes_nothing(door: Gateway) -> None:
    before = (door.data / "address").read_text()
    with pytest.raises(CommandFailed, match="another `ostiary up` is running"):
        Gateway(door.data, "--demo", said="second").__enter__()
    assert (door.data / "address").read_text() == before


def test_two_workers_serve_one_door_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    with Gateway(tmp_path / "data", "--demo", "--workers", "2") as gateway:
        token = gateway.token("editor", "/mcp")
        workers = _workers(gateway)
        os.kill(workers[-1], signal.SIGKILL)
        for _ in range(20):
            assert (
                result(f"{gateway.url}/mcp", token, "tools/call", name="notes_list", arguments={})["isError"] is False
            )
        end = time.monotonic() + 60
        while len(_workers(gateway)) < 2 or workers[-1] in _workers(gateway):
            assert time.monotonic() < end, "nobody took the place of the dead worker"
            time.sleep(0.05)
    assert len(workers) == 2


def _workers(door: Gateway) -> list[int]:
    """Its children that are forks of it: they bear its own command line."""
    return [pid for pid in _children(door.pid) if _command(pid) == _command(door.pid)]


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
