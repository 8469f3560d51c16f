"""`ostiary server`, as an operator types it, in front of a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlmodel import select

from authz.people.accounts import add_person, new_hash
from gateway.assembly import open_office
from gateway.cli import main
from gateway.settings import Settings
from registry.database import Concern
from registry.tables import AddressException, Definition
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

    from gateway.office import Office


@pytest.fixture(scope="module")
def notes() -> Iterator[str]:
    with running("examples/servers/notes.py", "--port", "0") as url:
        yield url


class Console:
    def __init__(self, data: Path) -> None:
        self.data = data
        open_office(Settings(data=data), create=True).close()

    def run(self, *words: str, given: str = "") -> Result:
        return CliRunner().invoke(main, ["server", *words, "--data", str(self.data)], input=given)

    def do(self, *words: str, given: str = "") -> str:
        done = self.run(*words, given=given)
        assert done.exit_code == 0, done.output
        return done.stdout

    def refused(self, *words: str, given: str = "") -> str:
        done = self.run(*words, given=given)
        assert done.exit_code == 1, done.output
        assert "Traceback" not in done.output
        return done.output

    def json(self, *words: str) -> Any:
        return json.loads(self.do(*words, "--json"))

    def office(self) -> Office:
        return open_office(Settings(data=self.data))

    def records(self, event: str) -> list[dict[str, Any]]:
        files = (self.data / "journal").rglob("*.jsonl")
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return sorted((one for one in lines if one["event"] == event), key=lambda one: one["at"])


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path)


def test_from_adding_to_retiring(console: Console, notes: str) -> None:
    added = console.do("add", "notes", notes, "--allow-address", "--title", "Notes")
    assert "submitted" in added
    assert "notes_delete" in added
    word = console.json("show", "notes")["shown"]
    assert f"ostiary server approve notes --shown {word}" in added
    assert "notes is approved" in console.do("approve", "notes", "--shown", word)
    assert console.json("list")[0]["awaiting"] == 0
    assert "nothing differs" in console.do("diff", "notes")
    assert "nothing awaits review" in console.do("refresh", "notes")
    assert console.json("suspend", "notes", "--because", "a drill")["state"] == "suspended"
    assert "a drill" in console.do("show", "notes")
    assert console.json("resume", "notes")["state"] == "approved"
    assert console.json("retire", "notes")["state"] == "retired"
    assert "retired" in console.refused("resume", "notes")
    for event in ("server.added", "server.observed", "server.approved", "server.suspended", "server.resumed"):
        assert console.records(event)[0]["who"].startswith("operator:")


def test_a_refused_address_prints_the_line_that_would_allow_it_and_registers_nothing(
    console: Console, notes: str
) -> None:
    said = console.refused("add", "notes", notes)
    assert f'allow_addresses = ["{notes.removesuffix("/mcp")}"]' in said
    assert "--allow-address" in said
    assert console.json("list") == []


def test_a_server_that_cannot_be_reached_stays_submitted_and_cannot_be_approved(console: Console) -> None:
    said = console.refused("add", "gone", "http://127.0.0.1:9/mcp", "--allow-address")
    assert "ostiary server refresh gone" in said
    assert console.json("list")[0]["failure"].startswith("the server cannot be reached")
    assert "could not be read yet" in console.refused("approve", "gone", "--yes")
    console.do("retire", "gone")
    assert console.json("list") == []
    with console.office().database.read() as session:
        assert session.exec(select(AddressException)).all() == []


def test_approving_without_a_terminal_asks_what_was_seen(console: Console, notes: str) -> None:
    console.do("add", "notes", notes, "--allow-address")
    assert "--shown" in console.refused("approve", "notes")
    assert "look again" in console.refused("approve", "notes", "--shown", "0" * 12)
    assert console.json("list")[0]["state"] == "submitted"


def test_approving_just_one_leaves_the_others_out(console: Console, notes: str) -> None:
    console.do("add", "notes", notes, "--allow-address")
    assert console.json("approve", "notes", "--yes", "--only", "read")["approved"] == ["tool read"]
    assert "cannot be approved now" in console.refused("approve", "notes", "--yes", "--only", "nothing")
    assert console.json("list")[0]["approved"] == 1


def test_one_administrator_is_said_loudly_and_two_need_the_page(console: Console, notes: str) -> None:
    console.do("add", "notes", notes, "--allow-address")
    assert "second pair of eyes" in console.run("approve", "notes", "--yes", "--only", "read").stderr
    office = console.office()
    with office.database.change(Concern.PEOPLE) as session:
        for handle in ("alice", "bob"):
            hashed = new_hash(handle, "correct horse battery")
            add_person(session, handle, password_hash=hashed, is_admin=True)
    office.close()
    page = f"{office.settings.base_url}/admin/servers/notes"
    assert f"open {page}" in console.refused("approve", "notes")
    shown = console.run("show", "notes").stdout
    assert page in shown
    assert "ostiary server approve" not in shown


def test_a_secret_comes_from_standard_input_a_file_or_the_environment(
    console: Console, notes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "Authorization: Bearer canary-4711"
    said = console.do("add", "one", notes, "--allow-address", "--auth", "static", given=f"{line}\n")
    file = tmp_path / "header"
    file.write_text(line)
    file.chmod(0o644)
    assert "chmod 600" in console.refused("credential", "one", "--header-file", str(file))
    file.chmod(0o600)
    said += console.do("credential", "one", "--header-file", str(file))
    monkeypatch.setenv("NOTES_HEADER", line)
    said += console.do("credential", "one", "--header-env", "NOTES_HEADER")
    assert "no NOTES_NOTHING" in console.refused("credential", "one", "--header-env", "NOTES_NOTHING")
    assert "one header line" in console.refused("credential", "one", given="nonsense\n")
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != file]
    assert not any(b"canary" in content for content in (said.encode(), *files))


def test_what_a_server_wrote_is_printed_with_nothing_hidden(console: Console, notes: str) -> None:
    console.do("add", "notes", notes, "--allow-address")
    office = console.office()
    with office.database.change() as session:
        row = session.get_one(Definition, ("notes", "tool", "read"))
        row.raw = json.dumps({"name": "read", "description": "\x1b[31mred\u202eder"})
    office.close()
    for words in (("show", "notes"), ("show", "notes", "--full"), ("diff", "notes")):
        said = console.do(*words)
        assert "\x1b" not in said
        assert "\u202e" not in said
    assert r"\u{1b}" in console.do("show", "notes")


@pytest.mark.parametrize(
    "words", [("show", "nets"), ("approve", "nets", "--yes"), ("refresh", "nets"), ("diff", "nets")]
)
def test_an_unknown_server_is_one_sentence(console: Console, words: tuple[str, ...]) -> None:
    assert "there is no server 'nets'" in console.refused(*words)


def test_what_a_server_may_ask_callers_for_is_said_shown_and_changed(console: Console, notes: str) -> None:
    console.do("add", "notes", notes, "--allow-address")
    assert "may ask callers for: elicitation" in console.do("show", "notes")
    assert "may ask for: elicitation, sampling" in console.do("allow", "notes", "sampling,elicitation")
    assert json.loads(console.do("show", "notes", "--json"))["allowed"] == ["elicitation", "sampling"]
    assert "may ask for: nothing" in console.do("allow", "notes", "none")
    assert "there are elicitation, sampling, roots" in console.refused("allow", "notes", "everything")
    console.do("add", "open", notes, "--allow-address", "--allow", "roots")
    assert json.loads(console.do("show", "open", "--json"))["allowed"] == ["roots"]


def test_the_list_says_what_is_wrong_with_a_server_and_what_to_do(console: Console, notes: str) -> None:
    console.refused("add", "gone", "http://127.0.0.1:9/mcp", "--allow-address")
    console.do("add", "notes", notes, "--allow-address")
    console.do("approve", "notes", "--yes", "--accept-findings")
    console.do("suspend", "notes", "--because", "it is being looked at")
    said = console.do("list")
    assert "gone: the server cannot be reached" in said
    assert "  do: see that it runs and listens at its address" in said
    assert "notes: it is suspended: it is being looked at" in said
    assert "`ostiary server resume notes`" in said
    rows = {row["slug"]: row for row in console.json("list")}
    assert (rows["gone"]["trouble"], rows["notes"]["trouble"]) == ("unreachable", "")
    assert all(row["remedy"] for row in rows.values())
