"""`ostiary token`: a token alone on the last line, on record with who asked, and only while that is allowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from authz import jose
from authz.tables import Person
from gateway.assembly import open_office
from gateway.cli import main
from gateway.settings import Settings
from gateway.starting.first_start import ensure_signing_key

if TYPE_CHECKING:
    from pathlib import Path

BASE = "http://127.0.0.1:8080"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    office = open_office(Settings(data=tmp_path / "data"), create=True)
    ensure_signing_key(office)
    with office.database.change() as session:
        session.add(Person(id="usr_1", issuer="local", subject="alice", handle="alice"))
        session.add(Person(id="usr_2", issuer="local", subject="gone", handle="gone", disabled_at=1.0))
    office.close()
    return tmp_path / "data"


def run(data: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["token", *arguments, "--data", str(data)])
    assert result.exit_code == code, result.output
    return result


def claims(data: Path, token: str) -> dict[str, Any]:
    from authz.tokens.keys import load_keys

    office = open_office(Settings(data=data))
    with office.database.read() as session:
        keys = load_keys(session, office.vault)
    office.close()
    return jose.verify(token.encode(), keys.keys[jose.read_header(token.encode())["kid"]].public)


def records(data: Path, event: str) -> list[dict[str, Any]]:
    lines = [line for file in sorted((data / "journal").rglob("*.jsonl")) for line in file.read_text().splitlines()]
    return [record for record in map(json.loads, lines) if record.get("event") == event]


def test_a_token_is_printed_alone_on_the_last_line(data: Path) -> None:
    printed = run(data, "issue", "--user", "alice", "--ttl", "60", "--scope", "notes.* clock.now").stdout

    said = claims(data, printed.strip().splitlines()[-1])
    assert (said["sub"], said["aud"], said["client_id"]) == ("usr_1", f"{BASE}/mcp", "ostiary-cli")
    assert said["exp"] - said["iat"] == 60
    assert said["scope"] == "clock.now notes.*"
    assert said["act"]["sub"].startswith("operator:")


def test_a_token_may_be_for_a_mount(data: Path) -> None:
    token = json.loads(
        run(data, "issue", "--user", "alice", "--resource", f"{BASE}/servers/notes/mcp", "--json").stdout
    )["token"]

    assert claims(data, token)["aud"] == f"{BASE}/servers/notes/mcp"


def test_the_operator_is_on_record_and_the_token_is_not(data: Path) -> None:
    token = run(data, "issue", "--user", "alice").stdout.strip().splitlines()[-1]

    [record] = records(data, "token.issued")
    assert record["who"].startswith("operator:")
    assert (record["person"], record["client"], record["grant"]) == ("user:alice", "ostiary-cli", "operator")
    assert token not in "".join(file.read_text() for file in (data / "journal").rglob("*.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--user", "nobody"), "nobody is called"),
        (("--user", "gone"), "disabled"),
        (("--user", "alice", "--resource", "https://elsewhere.example/mcp"), "--resource must be"),
        (("--user", "alice", "--resource", f"{BASE}/admin"), "--resource must be"),
        (("--user", "alice", "--scope", "everything"), "scope"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(data: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in run(data, "issue", *arguments, code=1).output


def test_no_token_of_a_day(data: Path) -> None:
    run(data, "issue", "--user", "alice", "--ttl", "86400", code=2)


def test_operators_tokens_can_be_switched_off(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTIARY_OPERATOR_TOKENS", "false")

    assert "switched off" in run(data, "issue", "--user", "alice", code=1).output
    assert not records(data, "token.issued")


def test_keys_are_rotated_by_hand(data: Path) -> None:
    later = json.loads(run(data, "rotate-keys", "--json").stdout)["kid"]
    before = run(data, "issue", "--user", "alice").stdout.strip().splitlines()[-1]
    assert jose.read_header(before.encode())["kid"] != later

    now = json.loads(run(data, "rotate-keys", "--now", "--json").stdout)["kid"]
    after = run(data, "issue", "--user", "alice").stdout.strip().splitlines()[-1]
    assert jose.read_header(after.encode())["kid"] == now
    assert {later, now} <= {record["kid"] for record in records(data, "key.rotated")}
