"""T-98, the places: where the journal, the keys or the database cannot be written, nothing starts, in a sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from gateway.assembly import open_office
from gateway.settings.loading import EXIT_CONFIGURATION, ConfigurationError, load
from registry.errors import RegistryError
from tests.fakes.gateway import ROOT
from tests.fakes.ports import free_port
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("place", ["", "journal"])
def test_t_98_a_file_where_a_directory_must_be_is_named(tmp_path: Path, place: str) -> None:
    data = tmp_path / "data"
    (data / place).parent.mkdir(exist_ok=True)
    (data / place).write_text("a file")
    with pytest.raises(ConfigurationError, match="data: "):
        open_office(load(None, {}, data=data), create=True)


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 4096])
def test_t_98_a_master_key_that_was_changed_opens_nothing(tmp_path: Path, damage: bytes) -> None:
    data = tmp_path / "data"
    open_office(load(None, {}, data=data), create=True).close()
    (data / "keys" / "master.key").write_bytes(damage)
    with pytest.raises((ConfigurationError, RegistryError)) as refused:
        open_office(load(None, {}, data=data), create=True)
    assert "master" in str(refused.value).lower()


def test_t_98_a_directory_may_be_called_as_it_likes(tmp_path: Path) -> None:
    data = tmp_path / "my data%20?x=1#y"
    data.mkdir()
    (data / "ostiary.db").touch()  # which SQLite takes for an empty database
    command = [sys.executable, "-m", "gateway", "group", "add", "staff", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (data / "ostiary.db").stat().st_size
    assert [place.name for place in tmp_path.iterdir()] == [data.name]


@pytest.mark.parametrize("verb", [["audit", "verify"], ["policy", "add", "group:all", "notes.*"], ["backup", "b"]])
def test_t_98_a_command_makes_no_gateway_of_a_directory_that_is_none(tmp_path: Path, verb: list[str]) -> None:
    """A mistyped --data would have a record that is sound because it is empty, and a policy that nobody asks."""
    (tmp_path / "notes.txt").touch()
    command = [sys.executable, "-m", "gateway", *verb, "--data", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (EXIT_CONFIGURATION, "")
    assert done.stderr.startswith(f"ostiary: data: {tmp_path} is no gateway's: there is no ")
    assert [place.name for place in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("verb", [["up", "--port", "0"], ["server", "list"]])
def test_t_98_no_empty_database_is_made_beside_an_old_record(tmp_path: Path, verb: list[str]) -> None:
    """The gateway uses PostgreSQL and a command is not told, or the file was lost: nothing begins anew in silence."""
    data = tmp_path / "data"
    (data / "journal").mkdir(parents=True)
    (data / "journal" / "host-1-abcdef01.000001.jsonl").touch()
    command = [sys.executable, "-m", "gateway", *verb, "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    assert (done.returncode, "--database-url" in done.stderr) == (EXIT_CONFIGURATION, True), done.stderr
    assert not (data / "ostiary.db").exists()


@pytest.mark.parametrize("what", ["a journal that is a file", "a port that is taken", "a key of another gateway"])
def test_t_98_the_command_says_so_and_exits_78_without_a_trace(tmp_path: Path, what: str) -> None:
    data, port = tmp_path / "data", free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if what == "a journal that is a file":
            data.mkdir()
            (data / "journal").touch()
        elif what == "a port that is taken":
            port = taken.getsockname()[1]
        else:
            open_office(load(None, {}, data=data), create=True).close()
            (data / "keys" / "master.key").write_bytes(b64encode(b"k" * 32))
        command = [sys.executable, "-m", "gateway", "up", "--data", str(data), "--port", str(port)]
        environment = os.environ | on_postgresql.environment(data)
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60, check=False
        )
    assert (done.returncode, "Traceback" in done.stderr) == (EXIT_CONFIGURATION, False), done.stderr
    assert done.stderr.startswith("ostiary: ")
