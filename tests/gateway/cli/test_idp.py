"""`ostiary idp`, as an administrator types it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from gateway.cli import main
from idp_adapters import config
from idp_adapters.config import KINDS
from tests.fakes.providers.identity import fake_kinds
from tests.gateway.cli.test_people import Console

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.providers.identity import Organisation

SECRET = "the-canary-of-our-client"


@pytest.fixture
def organisation(monkeypatch: pytest.MonkeyPatch) -> Organisation:
    return fake_kinds(monkeypatch)


@pytest.fixture
def console(tmp_path: Path, organisation: Organisation) -> Console:
    made = Console(tmp_path / "data")
    made.do("idp", "add", "away", "corp", "--domain", "corp.example", given=SECRET + "\n")
    return made


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_option_of_every_kind_is_described(kind: str) -> None:
    from click.testing import CliRunner

    text = CliRunner().invoke(main, ["idp", "add", kind, "--help"]).output
    for name in KINDS[kind].model.model_fields:
        assert f"--{name.replace('_', '-')}" in text
    for purpose in KINDS[kind].secrets:
        assert f"--{purpose.replace('_', '-')}-file" in text


def test_a_provider_is_added_with_its_secret_from_standard_input(console: Console) -> None:
    shown = console.json("idp", "show", "corp")
    assert (shown["kind"], shown["domains"], shown["secrets"]) == ("away", ["corp.example"], ["client_secret"])
    assert shown["addresses"]["callback"].endswith("/signin/corp/callback")


def test_its_secret_is_nowhere_to_be_read(console: Console) -> None:
    shown = console.do("idp", "show", "corp") + console.do("idp", "list") + json.dumps(console.events())
    assert SECRET not in shown
    for file in console.data.glob("ostiary.db*"):
        assert SECRET.encode() not in file.read_bytes()


def test_a_secret_comes_from_a_file_that_others_cannot_read(console: Console, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    file.chmod(0o644)
    words = ("idp", "add", "away", "two", "--client-secret-file", str(file))
    assert "chmod 600" in console.run(*words).output
    file.chmod(0o600)
    console.do(*words)


def test_a_secret_is_replaced(console: Console) -> None:
    console.do("idp", "secret", "corp", "client_secret", given="another")
    assert "it may have client_secret" in console.run("idp", "secret", "corp", "bind_password", given="x").output


def test_a_provider_that_is_there_is_replaced_only_when_that_is_said(console: Console) -> None:
    assert "--replace" in console.run("idp", "add", "away", "corp", "--as-form").output
    console.do("idp", "add", "away", "corp", "--as-form", "--replace")
    shown = console.json("idp", "show", "corp")
    assert (shown["config"], shown["secrets"]) == ({"as_form": True}, ["client_secret"])


def test_what_is_wrong_with_a_configuration_is_said_at_once(console: Console) -> None:
    result = console.run("idp", "add", "away", "two", "--survey-interval", "soon", "--client-secret-env", "NONE_SUCH")
    assert result.exit_code == 1
    bad = console.run("idp", "add", "away", "Bad Name", given=SECRET)
    assert "not a name for a provider" in bad.output
    assert "leads to corp already" in console.run("idp", "add", "ask", "dir", "--domain", "corp.example").output


def test_a_walk_says_what_went_well_and_what_did_not(console: Console, organisation: Organisation) -> None:
    walked = console.do("idp", "test", "corp")
    assert "ok   the issuer is reached" in walked
    assert "no mapping yet" in walked
    organisation.down = True
    result = console.run("idp", "test", "corp")
    assert result.exit_code == 1
    assert "FAIL the issuer is reached: start it" in result.output


def test_a_claim_is_mapped_to_a_group_that_exists(console: Console) -> None:
    assert "ostiary group list" in console.run("idp", "map", "corp", "groups", "devs", "developers").output
    console.do("group", "add", "developers")
    console.do("idp", "map", "corp", "groups", "devs", "developers")
    assert console.json("idp", "mappings", "corp") == [{"claim": "groups", "value": "devs", "group": "developers"}]
    console.do("group", "remove", "developers")
    assert "there is no group developers any more" in console.run("idp", "test", "corp").output
    console.do("idp", "unmap", "corp", "groups", "devs", "developers")
    assert console.json("idp", "mappings", "corp") == []


def test_the_group_of_administrators_is_made_when_something_is_mapped_to_it(console: Console) -> None:
    console.do("idp", "map", "corp", "groups", "it", "ostiary-admins")
    assert [row["group"] for row in console.json("group", "list")] == ["ostiary-admins"]


def test_a_provider_is_disabled_enabled_and_removed(console: Console) -> None:
    console.do("idp", "disable", "corp")
    assert console.json("idp", "list")[0]["state"] == "disabled"
    console.do("idp", "enable", "corp")
    assert console.json("idp", "list")[0]["state"] == "enabled"
    console.do("idp", "remove", "corp")
    assert console.json("idp", "list") == []
    assert "ostiary idp list" in console.run("idp", "show", "corp").output


def test_what_was_done_is_on_record(console: Console) -> None:
    console.do("idp", "disable", "corp")
    found = {record["event"]: record for record in console.events()}
    assert found["idp.added"]["secrets"] == ["client_secret"]
    assert found["idp.disabled"]["who"].startswith("operator:")


def test_a_provider_that_cannot_work_here_yet_is_stored_with_what_to_install(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = dataclasses.replace(config.KINDS["away"], extra="xtra", modules=("no_such_library_at_all",))
    monkeypatch.setitem(config.KINDS, "away", lacking)
    said = console.do("idp", "add", "away", "second", given=SECRET + "\n")
    assert "second is stored" in said
    assert "Before it can work: no_such_library_at_all is not installed: pip install 'ostiary[xtra]'" in said
