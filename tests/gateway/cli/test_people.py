"""`ostiary user|group|client|admin`, as an operator types them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from authz.clients.enrolling import find_any
from authz.clients.known import secret_matches
from authz.people.accounts import admins, find_person, load_members
from authz.people.sessions import ADMIN_LINK, begin_session, find_session, look_at_link
from authz.people.signin import sign_in
from authz.tables import Client
from gateway.assembly import open_office
from gateway.cli import main
from gateway.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from gateway.office import Office

PASSWORD = "correct horse battery"


class Console:
    """The command line at one data directory."""

    def __init__(self, data: Path) -> None:
        self.data = data
        open_office(Settings(data=data), create=True).close()

    def run(self, *words: str, given: str = "") -> Result:
        return CliRunner().invoke(main, [*words, "--data", str(self.data)], input=given)

    def do(self, *words: str, given: str = "") -> str:
        result = self.run(*words, given=given)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str, given: str = "") -> Any:
        return json.loads(self.do(*words, "--json", given=given))

    def office(self) -> Office:
        return open_office(Settings(data=self.data))

    def events(self) -> list[dict[str, Any]]:
        files = sorted((self.data / "journal").rglob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "data")


def test_a_password_is_read_from_standard_input(console: Console) -> None:
    console.do("user", "add", "alice", given=PASSWORD + "\n")
    office = console.office()
    assert sign_in(office.database, "alice", PASSWORD, "", time.time()).handle == "alice"
    office.close()


def test_a_generated_password_is_printed_once_alone_on_the_last_line(console: Console) -> None:
    made = console.do("user", "add", "alice", "--generate").splitlines()[-1]
    office = console.office()
    assert sign_in(office.database, "alice", made, "", time.time()).handle == "alice"
    office.close()
    assert made not in json.dumps(console.events())
    assert made not in console.do("user", "list", "--json")


def test_without_a_password_the_command_says_how_to_give_one(console: Console) -> None:
    result = console.run("user", "add", "alice")
    assert result.exit_code == 2
    assert "standard input" in result.output
    assert console.json("user", "list") == []


def test_a_weak_password_is_refused_and_changes_nothing(console: Console) -> None:
    result = console.run("user", "add", "alice", given="short\n")
    assert result.exit_code == 1
    assert "10 to 256" in result.output
    assert console.json("user", "list") == []


def test_people_are_listed_with_their_groups(console: Console) -> None:
    console.do("group", "add", "editors")
    console.do("user", "add", "alice", "--group", "editors", "--admin", "--generate")
    found = console.json("user", "list")[0]
    assert (found["handle"], found["admin"], found["groups"]) == ("alice", True, ["editors"])
    assert "editors" in console.do("user", "list")


def test_a_group_that_is_not_there_stops_the_whole_command(console: Console) -> None:
    result = console.run("user", "add", "alice", "--group", "editors", "--generate")
    assert result.exit_code == 1
    assert "ostiary group list" in result.output
    assert console.json("user", "list") == []


def test_people_and_agents_join_and_leave_a_group(console: Console) -> None:
    console.do("group", "add", "editors")
    console.do("user", "add", "alice", "--generate")
    console.do("client", "add", "nightly", "--agent")
    console.do("group", "join", "editors", "alice", "agent:nightly")
    assert console.json("group", "list") == [{"group": "editors", "members": ["agent:nightly", "user:alice"]}]
    console.do("group", "leave", "editors", "user:alice")
    assert console.json("group", "list")[0]["members"] == ["agent:nightly"]


def test_disabling_somebody_ends_their_sessions_and_says_when_no_admin_is_left(console: Console) -> None:
    console.do("user", "add", "root", "--admin", "--generate")
    office = console.office()
    with office.database.change() as session:
        person = find_person(session, "root")
        token = begin_session(session, person, now=time.time(), life=900, amr="pwd", address="")
    result = console.run("user", "disable", "root")
    assert result.exit_code == 0
    assert "No administrator is left" in result.stderr
    with office.database.read() as session:
        assert find_session(session, token, time.time()) is None
        assert load_members(session) == {}
        assert admins(session) == 0
    office.close()
    console.do("user", "enable", "root")
    assert console.json("user", "list")[0]["state"] == "enabled"


def test_a_new_password_replaces_the_old_one(console: Console) -> None:
    console.do("user", "add", "alice", given=PASSWORD)
    console.do("user", "password", "alice", given="something else here")
    office = console.office()
    assert sign_in(office.database, "alice", "something else here", "", time.time()).handle == "alice"
    office.close()


def test_an_admin_is_made_and_unmade(console: Console) -> None:
    console.do("user", "add", "alice", "--generate")
    console.do("user", "admin", "alice")
    assert console.json("user", "list")[0]["admin"] is True
    console.do("user", "admin", "alice", "--off")
    assert console.json("user", "list")[0]["admin"] is False


def test_the_admin_link_is_printed_alone(console: Console) -> None:
    link = console.do("admin", "link").strip()
    base, _, token = link.rpartition("/setup/")
    assert base == "http://127.0.0.1:8080"
    office = console.office()
    with office.database.read() as session:
        assert look_at_link(session, token, ADMIN_LINK, time.time()) is not None
    office.close()
    assert token not in json.dumps(console.events())


def test_an_agent_gets_a_secret_that_is_shown_once(console: Console) -> None:
    added = console.json("client", "add", "nightly", "--agent")
    office = console.office()
    with office.database.read() as session:
        assert secret_matches(find_any(session, "agent:nightly"), added["secret"])
    office.close()
    assert added["secret"] not in console.do("client", "list", "--json") + json.dumps(console.events())
    assert console.do("client", "add", "daily", "--agent").splitlines()[-1].startswith("ost_cs_")


def test_a_client_for_people_is_registered_with_its_redirects(console: Console) -> None:
    console.do("client", "add", "An Editor", "--redirect-uri", "https://editor.example/cb")
    listed = console.json("client", "list")[0]
    assert (listed["name"], listed["redirect_uris"]) == ("An Editor", ["https://editor.example/cb"])
    assert "redirect URI" in console.run("client", "add", "Bad", "--redirect-uri", "http://example.com/").output
    assert console.run("client", "add", "Both", "--agent", "--redirect-uri", "https://a/b").exit_code == 2


def test_a_client_is_disabled_by_its_name_or_id(console: Console) -> None:
    console.do("client", "add", "nightly", "--agent")
    console.do("client", "disable", "agent:nightly")
    assert console.json("client", "list")[0]["state"] == "disabled"
    console.do("client", "enable", console.json("client", "list")[0]["client"])
    assert console.json("client", "list")[0]["state"] == "enabled"


def test_everything_is_on_record_with_who_was_at_the_command_line(console: Console) -> None:
    console.do("group", "add", "editors")
    console.do("user", "add", "alice", "--generate")
    console.do("group", "join", "editors", "alice")
    console.do("group", "remove", "editors")
    found = {record["event"]: record["who"] for record in console.events() if "who" in record}
    assert {"group.added", "person.added", "group.joined", "group.removed"} <= found.keys()
    assert found["person.added"].startswith("operator:")


def test_what_a_client_calls_itself_cannot_steer_a_terminal(console: Console) -> None:
    console.do("client", "add", "evil\x1b[2J\nname", "--redirect-uri", "https://a.example/b")
    assert "\x1b" not in console.do("client", "list")


def test_a_database_that_gives_up_is_one_sentence_and_no_traceback(console: Console) -> None:
    office = console.office()
    with office.database.change() as session:
        session.execute(text("DROP TABLE membership"))
    office.close()
    result = console.run("user", "list")
    assert result.exit_code == 1
    assert "the database gave up on this: see that it can be reached" in result.output
    assert "membership" not in result.output


def test_a_lost_secret_is_replaced_and_the_old_one_works_no_longer(console: Console) -> None:
    made = console.json("client", "add", "nightly", "--agent")
    renewed = console.json("client", "secret", made["client_id"])
    office = console.office()
    with office.database.read() as session:
        client = session.get(Client, made["client_id"])
    office.close()
    assert client is not None
    assert secret_matches(client, renewed["secret"])
    assert not secret_matches(client, made["secret"])


def test_a_public_client_has_no_secret_to_replace(console: Console) -> None:
    made = console.json("client", "add", "editor", "--redirect-uri", "http://127.0.0.1/callback")
    refused = console.run("client", "secret", made["client_id"])
    assert refused.exit_code == 1
    assert "has no secret" in refused.output
