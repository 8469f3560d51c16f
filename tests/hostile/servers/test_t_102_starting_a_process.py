"""T-102: a process is begun because the operator's file says so, and for no other reason.

No page, no API, no command and no row of the database makes one, and no word of anybody gets onto its command line.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from gateway.settings.loading import ConfigurationError, load
from gateway.upstream import UpstreamUnreachable
from gateway.upstream.channels.declared import DeclaredServer
from registry.database import Database, sqlite_url
from registry.errors import RegistryError
from registry.schema import migrate
from registry.secrets.vault import Vault
from registry.servers import Proposal, propose
from registry.tables import Server, Transport
from tests.fakes.gateway import CommandFailed, Gateway
from tests.fakes.servers.channels import PYTHON, declared, upstream_of, workers

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = ("; touch {}", "$(touch {})", "`touch {}`", "| touch {}", "&& touch {}", "\ntouch {}")


def test_t_102_no_proposal_makes_one(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    vault = Vault({"1": b"k" * 32})
    try:
        for transport in Transport:
            proposal = Proposal(slug="x", url="stdio:x", transport=transport)
            with database.change() as session, pytest.raises(RegistryError):
                propose(session, proposal, who="somebody", exceptions=(), vault=vault)
        with database.read() as session:
            assert session.get(Server, "x") is None
    finally:
        database.close()


def test_t_102_no_command_makes_one(tmp_path: Path) -> None:
    with Gateway(tmp_path / "data") as gateway:
        for given in (["x", "stdio:x"], ["x", "https://example.com/", "--transport", "stdio"], ["x", "file:///bin/sh"]):
            with pytest.raises(CommandFailed):
                gateway.run("server", "add", *given)
        assert json.loads(gateway.run("server", "list", "--json")) == []


def test_t_102_no_environment_variable_and_no_flag_makes_one() -> None:
    with pytest.raises(ConfigurationError, match="stdio_servers"):
        load(None, {"OSTIARY_STDIO_SERVERS": '[{"slug": "x", "command": ["sh"]}]'})


async def test_t_102_a_row_that_was_written_by_force_is_not_run(tmp_path: Path) -> None:
    async with workers(tmp_path) as make:
        process = make(sandbox="off")
        process.upstream = upstream_of(declared(slug="forced", sandbox="off"))
        with pytest.raises(UpstreamUnreachable, match="operator's file"):
            await process.call("echo", text="x")


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_t_102_there_is_no_shell(tmp_path: Path, attempt: str) -> None:
    """Neither in the file's own words nor in those of a caller."""
    mark = tmp_path / "mark"
    words = attempt.format(mark)
    async with workers(tmp_path / "data") as make:
        process = make(sandbox="off", flags=(words,), env={"WORDS": words})
        assert await process.call("echo", text=words) == words
    assert not mark.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "sh -c id"},
        {"command": ()},
        {"env": {"OSTIARY_MASTER_KEY": "x"}},
        {"env": {"A=B": "x"}},
        {"inherit": ("OSTIARY_MASTER_KEY",)},
        {"directory": "relative"},
        {"directory": "/srv/../etc"},
        {"sandbox": "maybe"},
        {"memory": 0},
        {"slug": "../x"},
        {"shell": True},
    ],
)
def test_t_102_what_is_badly_declared_is_not_taken(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DeclaredServer.model_validate({"slug": "x", "command": ("true",)} | changes)


@pytest.mark.parametrize("path", ["", "keys", ".."])
def test_t_102_our_own_data_can_be_declared_to_nobody(tmp_path: Path, path: str) -> None:
    data = tmp_path / "data"
    place = str((data / path).resolve())
    with pytest.raises(ConfigurationError, match="must not hold the data directory, or be in it"):
        load(None, {}, data=data, stdio_servers=[{"slug": "x", "command": [str(PYTHON)], "read": [place]}])
