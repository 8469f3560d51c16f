from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from sqlmodel import select

from authz.tables import Membership, Person, Rule
from gateway.cli import main
from registry.database import Database, sqlite_url
from registry.tables import Definition, Server
from tests.fakes.parties import database_in


@pytest.fixture
def data(tmp_path):
    with database_in(tmp_path / "data") as database, database.change() as session:
        session.add(Person(id="usr_1", issuer="local", subject="alice", handle="alice"))
        session.add(Membership(member="usr_1", group="editors"))
    return tmp_path / "data"


@pytest.fixture
def ostiary(data):
    def run(*arguments: str, answer: str | None = None, code: int = 0):
        result = CliRunner().invoke(main, ["policy", *arguments, "--data", str(data)], input=answer)
        assert result.exit_code == code, result.output
        return result

    return run


def records(data):
    lines = [line for file in sorted((data / "journal").rglob("*.jsonl")) for line in file.read_text().splitlines()]
    found = [record for record in map(json.loads, lines) if record.get("event") == "policy.changed"]
    return sorted(found, key=lambda record: record["at"])


def test_a_rule_is_added_listed_tested_and_removed(ostiary, data):
    added = json.loads(ostiary("add", "group:editors", "notes.*", "--note", "the team", "--json").stdout)
    assert added["id"] in ostiary("list").stdout
    ask = ("test", "--as", "user:alice", "--object", "notes.notes_add")
    assert f"allowed by {added['id']}" in ostiary(*ask).stdout
    answer = json.loads(ostiary(*ask, "--action", "read", "--json").stdout)
    assert (answer["decision"], answer["word"]) == ("denied", "no_rule")
    ostiary("remove", added["id"])
    assert "nobody may do anything" in ostiary("list").stdout
    ostiary(*ask, "--exit-code", code=1)
    assert [record["changes"] for record in records(data)] == [
        ["+ allow group:editors call notes.*"],
        ["- allow group:editors call notes.*"],
    ]


def test_a_rule_that_asks_how_somebody_signed_in_is_added_tested_and_exported(ostiary):
    ostiary("add", "group:editors", "notes.*", "--assurance", "max_age:600 amr:mfa")
    assert "if amr:mfa max_age:600" in ostiary("list").stdout
    assert "assurance: amr:mfa max_age:600" in ostiary("export").stdout
    ask = ("test", "--as", "user:alice", "--object", "notes.notes_add", "--exit-code")
    refused = ostiary(*ask, code=1)
    assert "a rule wants one of a sign-in with mfa within the last 600 seconds" in refused.stdout
    ostiary(*ask, "--signed-in", "amr:mfa")
    ostiary(*ask, "--signed-in", "amr:otp", code=1)
    assert "acr:LEVEL" in ostiary(*ask, "--signed-in", "nonsense", code=1).output
    assert "only a rule that allows" in ostiary("add", "group:x", "a.*", "--deny", "--assurance", "dpop", code=1).output


def test_a_role_is_given_and_taken(ostiary):
    ostiary("add", "role:editor", "notes.*")
    ask = ("test", "--as", "user:alice", "--object", "notes.notes_add", "--exit-code")
    ostiary(*ask, code=1)
    ostiary("bind", "group:editors", "editor")
    ostiary(*ask)
    ostiary("unbind", "group:editors", "editor")
    ostiary(*ask, code=1)


def test_a_bad_rule_is_refused_in_one_sentence_and_nothing_is_recorded(ostiary, data):
    refused = ostiary("add", "alice", "notes.get_*", code=1)
    assert "user:NAME" in refused.output
    assert "server.*" in refused.output
    assert "Traceback" not in refused.output
    assert not records(data)


def test_removing_two_rules_of_which_one_does_not_exist_removes_none(ostiary, data):
    added = json.loads(ostiary("add", "group:editors", "notes.*", "--json").stdout)
    ostiary("remove", added["id"], "r_nothing", code=1)
    database = Database(sqlite_url(data))
    with database.read() as session:
        assert [rule.id for rule in session.exec(select(Rule))] == [added["id"]]
    database.close()


def test_a_file_is_shown_before_it_is_applied_and_nothing_happens_without_a_yes(ostiary, data, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("rules:\n- {subject: 'group:editors', object: 'notes.*', action: call}\n")
    assert "+ allow group:editors call notes.*" in ostiary("apply", str(file), answer="n\n", code=1).output
    dry = json.loads(ostiary("apply", str(file), "--dry-run", "--json").stdout)
    assert dry == {"changes": ["+ allow group:editors call notes.*"], "applied": False}
    assert not records(data)
    assert ostiary("apply", str(file), answer="y\n").output.count("+ allow group:editors call notes.*") == 1
    assert "nothing to change" in ostiary("apply", str(file), "--yes").stdout
    assert len(records(data)) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfer", "is not UTF-8"),
        (b"rules:\n- {subject: user:a, object: a.b, ends_at: 2027-13-01}", "month must be in"),
        (b"rules: " + b"[" * 2000, "nested too deep"),
        (b"rules: " + b"9" * 5000, "a value in it is none"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_in_a_sentence(ostiary, tmp_path, content, told):
    (tmp_path / "policy.yaml").write_bytes(content)
    refused = ostiary("apply", str(tmp_path / "policy.yaml"), "--yes", code=1)
    assert refused.output.startswith("Error: ")
    assert told in refused.output


def test_a_file_may_begin_with_the_mark_of_an_editor(ostiary, tmp_path):
    (tmp_path / "policy.yaml").write_text("roles:\n- {subject: group:editors, role: editor}\n", encoding="utf-8-sig")
    assert "changed" in ostiary("apply", str(tmp_path / "policy.yaml"), "--yes").output


def test_a_name_that_is_nobodys_yet_is_mentioned_with_the_one_that_may_be_meant(ostiary, data):
    database = Database(sqlite_url(data))
    with database.change() as session:
        session.add(Server(slug="notes", url="https://notes.example/mcp"))
        session.flush()
        session.add(Definition(server="notes", kind="tool", name="delete", raw="{}", digest="d"))
    database.close()
    said = ostiary("add", "user:alicia", "notes.notes_delete").stderr
    assert "there is no user:alicia yet: did you mean user:alice?" in said
    assert "did you mean user:alice?" in ostiary("add", "group:alice", "notes.delete").stderr
    assert "did you mean" not in ostiary("add", "user:bella", "notes.delete").stderr
    assert "offers nothing called notes_delete: did you mean delete?" in said
    assert "note:" not in ostiary("add", "user:alice", "notes.delete").stderr
    assert "there is no server clock yet" in ostiary("add", "user:alice", "clock.*").stderr
    assert "nobody has role:editor yet" in ostiary("add", "role:editor", "notes.*").stderr


def test_export_and_apply_are_inverse(ostiary, tmp_path):
    ostiary("add", "group:editors", "notes.*", "--ends", "2031-05-01", "--portal", "server:notes")
    ostiary("add", "client:app", "notes.notes_delete", "--deny")
    file = tmp_path / "policy.yaml"
    for form in ([], ["--json"]):
        file.write_text(ostiary("export", *form).stdout)
        assert json.loads(ostiary("apply", str(file), "--dry-run", "--json").stdout)["changes"] == []


def test_asking_as_nobody_says_so(ostiary):
    assert "nobody enabled is called" in ostiary("test", "--as", "user:zoe", "--object", "n.x", code=1).output


def test_asking_about_a_thing_that_no_server_offers_says_so(ostiary):
    asked = ostiary("test", "--as", "user:alice", "--object", "weather.forecast")
    assert "there is no server weather yet" in asked.stderr
