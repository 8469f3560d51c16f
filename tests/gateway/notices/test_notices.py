"""What an operator is told of servers without looking, and how it is counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from sqlmodel import col, select

from gateway.assembly import open_office
from gateway.background.standing import _standing
from gateway.cli import main
from gateway.settings import Settings
from gateway.upstream.refreshing.refresh import _give_up, store
from registry.database import Concern
from registry.observing import Seen
from registry.servers import find, resume, suspend
from registry.tables import Era, Notice
from tests.fakes.door import MODERN
from tests.fakes.furnished import described, furnish
from tests.fakes.providers.openid import Heard, Reply, listening
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "http://127.0.0.1:9/hook"


class Hook:
    """Somebody's webhook; answers as `status` says."""

    def __init__(self) -> None:
        self.origin = ""
        self.heard: list[Heard] = []
        self.status = 204

    def now(self) -> int:
        return 0

    def reply(self, heard: Heard) -> Reply:
        return Reply(self.status, b"")


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    with listening(made):
        yield made


class House:
    """Of a gateway that does not serve just now what commands and refreshing need."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.settings = Settings(data=data, **settings)
        self.office = open_office(self.settings, create=True)
        furnish(self, "files", "http://127.0.0.1:9/mcp", "read", "write")

    def records(self, event: str) -> list[dict[str, Any]]:
        files = sorted(self.settings.journal.glob("*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "data", webhook_url=URL)
    yield made
    made.office.close()


def waiting(house: House) -> list[tuple[str, dict[str, Any]]]:
    with house.office.database.read() as session:
        found = [json.loads(one.body) for one in session.exec(select(Notice).order_by(col(Notice.at)))]
    return [(one["type"], one["data"]) for one in found]


def look(house: House, *tools: str, description: str = "") -> None:
    """The server lists these, `read` with another description."""
    listed = [described(name, description if name == "read" else "") for name in tools]
    seen = Seen(era=Era.MODERN, protocol_version=MODERN, capabilities={"tools": {}}, definitions=tuple(listed))
    store(house.office, "files", seen, "gateway")


def test_a_definition_that_is_another_one_than_was_approved_is_told_of_once(house: House) -> None:
    look(house, "read", "write", "new", description="Reads what it likes.")
    look(house, "read", "write", "new", description="Reads what it likes.")
    assert waiting(house) == [("server.hidden", {"server": "files", "definitions": ["tool read"], "count": 1})]
    [record] = house.records("server.observed")[-1:]
    assert record["hidden"] == ["tool read"]
    states, hidden = _standing(house.office)
    assert (states["approved"], hidden) == (1, {"files": 1})


def test_what_was_never_approved_and_what_is_only_missing_is_no_news(house: House) -> None:
    look(house, "read")
    look(house, "read", "write", "new")
    assert waiting(house) == []


def test_a_server_that_goes_to_and_fro_is_told_to_be_suspended(house: House) -> None:
    for turn in range(6):
        look(house, "read", "write", description="Other." if turn % 2 == 0 else "")
    event, data = waiting(house)[-1]
    assert event == "server.suspended"
    assert "to and fro" in data["because"]


@pytest.mark.parametrize("event", ["server.suspended", "revoked.server", "server.undeclared"])
def test_whoever_takes_a_server_away_it_is_told(house: House, event: str) -> None:
    named = {"name": "files"} if event == "revoked.server" else {"server": "files"}
    with house.office.change(event, Concern.CATALOGUE, who="user:ann", **named) as (session, _):
        suspend(session, "files", "it is being looked at")
    assert waiting(house) == [("server.suspended", {"server": "files", "because": "it is being looked at"})]
    assert _standing(house.office)[0]["suspended"] == 1
    with house.office.change("server.resumed", Concern.CATALOGUE, who="user:ann", server="files") as (session, _):
        resume(session, "files")
    assert len(waiting(house)) == 1


def test_a_credential_that_does_not_open_is_told_with_what_it_led_to(house: House) -> None:
    _give_up(house.office, "files")
    assert [event for event, _ in waiting(house)] == ["server.suspended"]


def test_what_did_not_happen_is_not_told(house: House) -> None:
    def fails() -> None:
        with house.office.change("server.suspended", Concern.CATALOGUE, who="x", server="files") as (session, _):
            suspend(session, "files", "")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert waiting(house) == []
    with house.office.database.read() as session:
        assert find(session, "files").state == "approved"


def test_nothing_is_kept_where_nobody_listens(tmp_path: Path) -> None:
    made = House(tmp_path / "data")
    look(made, "read", description="Other.")
    assert waiting(made) == []
    made.office.close()


def ostiary(house: House, *words: str, url: str | None, code: int = 0) -> str:
    data = house.settings.data
    environment = {"OSTIARY_WEBHOOK_URL": url, **on_postgresql.environment(data)}
    done = CliRunner(env=environment).invoke(main, ["notice", *words, "--data", str(data)])
    assert done.exit_code == code, done.output
    return done.output


def test_an_operator_sees_what_waits_and_what_is_told_at_all(house: House) -> None:
    look(house, "read", "write", description="Other.")
    said = ostiary(house, "list", url=URL)
    assert f"notices go to {URL}" in said
    assert "server.suspended: nothing of a server" in said
    assert [row["event"] for row in json.loads(ostiary(house, "list", "--json", url=URL))["waiting"]] == [
        "server.hidden"
    ]
    assert "there is no webhook_url" in ostiary(house, "list", url=None)


def test_an_operator_tries_whether_notices_arrive(house: House, hook: Hook) -> None:
    assert "has taken it" in ostiary(house, "test", url=f"{hook.origin}/x")
    assert [json.loads(heard.body)["type"] for heard in hook.heard] == ["notice.test"]
    assert "webhook-signature" in hook.heard[0].headers
    hook.status = 500
    assert "did not take it: it answers 500" in ostiary(house, "test", url=f"{hook.origin}/x", code=1)
    assert "there is no webhook_url" in ostiary(house, "test", url=None, code=1)
    assert house.records("notice.test")


def test_the_key_is_shown_and_made_anew(house: House) -> None:
    first, again = (json.loads(ostiary(house, "key", "--json", url=None))["key"] for _ in range(2))
    assert first == again
    assert first.startswith("whsec_")
    assert json.loads(ostiary(house, "key", "--new", "--json", url=None))["key"] != first
    assert "there is no webhook_url" in ostiary(house, "key", url=None)
