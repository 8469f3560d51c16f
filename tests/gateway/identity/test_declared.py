"""Identity providers in the operator's file."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.tables import ClaimMapping, Provider
from gateway.assembly import open_office
from gateway.identity.declaring import declare
from gateway.identity.equipment import owner_of
from gateway.settings.loading import ConfigurationError, load
from tests.fakes.providers.identity import fake_kinds
from tests.gateway.cli.test_people import Console

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[[identity_providers]]
slug = "corp"
kind = "away"
title = "Corp"
domains = ["corp.example"]
client_secret_env = "CORP_SECRET"
mappings = [{ value = "devs", group = "developers" }]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_kinds(monkeypatch)
    monkeypatch.setenv("CORP_SECRET", "a canary")
    made = tmp_path / "ostiary.toml"
    made.write_text(FILE)
    return made


def start(file: Path, data: Path) -> dict[str, Any]:
    """What is stored after a start with the file."""
    office = open_office(load(file, {}, data=data), create=True)
    try:
        declare(office)
        with office.database.read() as session:
            return {
                "providers": {row.slug: (row.title, row.declared) for row in session.exec(select(Provider))},
                "mappings": [(row.value, row.group) for row in session.exec(select(ClaimMapping))],
                "secret": office.vault.open_secret(session, owner_of("corp"), "client_secret"),
            }
    finally:
        office.close()


def test_what_the_file_says_is_stored_at_the_start(file: Path, tmp_path: Path) -> None:
    stored = start(file, tmp_path / "data")
    assert stored["providers"] == {"corp": ("Corp", True)}
    assert stored["mappings"] == [("devs", "developers")]
    assert stored["secret"] == b"a canary"


def test_a_start_that_changes_nothing_records_nothing(file: Path, tmp_path: Path) -> None:
    console = Console(tmp_path / "data")
    for _ in range(3):
        start(file, console.data)
    events = [record["event"] for record in console.events()]
    assert (events.count("idp.added"), events.count("idp.mapped")) == (1, 1)


def test_a_new_secret_and_other_mappings_are_taken_up(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(file, tmp_path / "data")
    monkeypatch.setenv("CORP_SECRET", "another")
    file.write_text(FILE.replace('"devs"', '"engineers"'))
    stored = start(file, tmp_path / "data")
    assert stored["mappings"] == [("engineers", "developers")]
    assert stored["secret"] == b"another"


def test_what_the_file_no_longer_says_is_gone(file: Path, tmp_path: Path) -> None:
    start(file, tmp_path / "data")
    console = Console(tmp_path / "data")
    console.do("idp", "add", "ask", "dir")
    office = open_office(load(None, {}, data=tmp_path / "data"))
    declare(office)
    office.close()
    assert [row["slug"] for row in console.json("idp", "list")] == ["dir"]


@pytest.mark.parametrize(
    "words", [("disable", "corp"), ("remove", "corp"), ("map", "corp", "groups", "x", "developers"), ("enable", "corp")]
)
def test_what_is_declared_is_not_changed_at_the_command_line(file: Path, tmp_path: Path, words: tuple[str]) -> None:
    start(file, tmp_path / "data")
    result = Console(tmp_path / "data").run("idp", *words)
    assert result.exit_code == 1
    assert "stands in the configuration file" in result.output


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("away", "carrier-pigeon"), "kind: 'carrier-pigeon' is none"),
        (('client_secret_env = "CORP_SECRET"', ""), "client_secret_env or client_secret_file"),
        (('title = "Corp"', "isuer = 'x'"), "isuer: no such option"),
        (('slug = "corp"', 'slug = "Corp!"'), "slug"),
        (('group = "developers"', 'team = "x"'), "mappings"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(file: Path, change: tuple[str, str], problem: str) -> None:
    file.write_text(FILE.replace(*change))
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    assert any(problem in line and "identity_providers" in line for line in refused.value.problems)


def test_two_of_one_name_are_refused(file: Path) -> None:
    file.write_text(FILE + FILE)
    with pytest.raises(ConfigurationError) as refused:
        load(file, {})
    assert len(refused.value.problems) == 2


def test_a_gateway_whose_secrets_are_not_there_does_not_start_and_names_them_all(tmp_path: Path) -> None:
    file = tmp_path / "ostiary.toml"
    provider = '[[identity_providers]]\nslug = "{0}"\nkind = "oidc"\nissuer = "https://{0}.example"\nclient_id = "x"\n'
    file.write_text(
        provider.format("one")
        + 'client_secret_env = "NONE_SUCH"\n'
        + provider.format("two")
        + f'client_secret_file = "{tmp_path}/none"\n'
    )
    command = [sys.executable, "-m", "gateway", "up", "--config", str(file), "--data", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 78
    assert "client_secret_env: the environment has no NONE_SUCH" in ended.stderr
    assert f"{tmp_path}/none cannot be read" in ended.stderr
