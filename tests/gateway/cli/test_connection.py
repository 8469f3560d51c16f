from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from registry.credentials.connections import owner
from registry.tables import Auth, ConnectionState, Secret
from tests.fakes.providers.openid import Reply
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.credentials.oauth.settled import Settled, settled
from tests.servers import on_postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[Upstream]:
    made = Upstream()
    with serving(made):
        yield made


@pytest.fixture
def office(tmp_path: Path, fake: Upstream) -> Iterator[Settled]:
    with settled(tmp_path, fake.origin) as made:
        notes = made.server(fake.url)
        made.server(fake.url, "board", Auth.OAUTH_SHARED)
        for person in ("usr_alice", "usr_bob"):
            made.connect(fake, notes, person)
        made.come_back(fake.arrive(made.depart(made.upstream("board"), subject=""), "team"), "board")
        yield made


def ostiary(office: Settled, *arguments: str, code: int = 0) -> str:
    data = office.office.settings.data
    (origin,) = office.office.settings.allow_addresses
    environment = {"OSTIARY_ALLOW_ADDRESSES": origin, **on_postgresql.environment(data)}
    done = CliRunner(env=environment).invoke(main, [*arguments, "--data", str(data)])
    assert done.exit_code == code, done.output
    return done.output


def told(office: Settled, *arguments: str) -> Any:
    return json.loads(ostiary(office, "connection", *arguments, "--json"))


def test_every_connection_is_listed_with_whose_it_is_and_how_it_stands(office: Settled) -> None:
    rows = [(row["server"], row["account"], row["state"]) for row in told(office, "list")]
    assert rows == [
        ("board", "shared", "connected"), ("notes", "user:alice", "connected"), ("notes", "user:bob", "connected"),
    ]  # fmt: skip
    text = ostiary(office, "connection", "list")
    assert text.splitlines()[0].split() == ["server", "account", "state", "since", "until", "why"]


@pytest.mark.parametrize(
    ("chosen", "accounts"),
    [
        (["--server", "notes"], ["user:alice", "user:bob"]),
        (["--person", "alice"], ["user:alice"]),
        (["--shared"], ["shared"]),
        (["--server", "board", "--person", "alice"], []),
    ],
)
def test_a_list_can_be_of_a_server_or_of_somebody(office: Settled, chosen: list[str], accounts: list[str]) -> None:
    assert [row["account"] for row in told(office, "list", *chosen)] == accounts


def test_what_does_not_exist_is_said(office: Settled) -> None:
    assert "there is no server 'nots'" in ostiary(office, "connection", "list", "--server", "nots", code=1)
    assert "nobody is called 'carol'" in ostiary(office, "connection", "list", "--person", "carol", code=1)
    assert "there are 2: say --person NAME" in ostiary(office, "connection", "show", "notes", code=1)
    assert "say which" in ostiary(office, "connection", "revoke", code=2)
    assert "not both" in ostiary(office, "connection", "list", "--person", "alice", "--shared", code=2)


def test_one_is_shown_with_all_but_what_is_sealed(office: Settled, fake: Upstream) -> None:
    shown = told(office, "show", "notes", "--person", "alice")
    assert (shown["issuer"], shown["attempts"], shown["connected_by"]) == (fake.issuer, 0, "user:alice")
    assert shown["next_renewal"].endswith("Z")
    kept = office.tokens()
    text = ostiary(office, "connection", "show", "board") + json.dumps(shown)
    assert kept.access not in text
    assert kept.refresh not in text


def test_a_connection_is_renewed_when_somebody_says_so(office: Settled, fake: Upstream) -> None:
    before = office.tokens()
    row = told(office, "refresh", "notes", "--person", "alice")
    assert row["state"] == ConnectionState.CONNECTED
    assert office.tokens().access != before.access
    fake.revoke("usr_alice")
    row = told(office, "refresh", "notes", "--person", "alice")
    assert row["state"] == ConnectionState.NEEDS_RECONNECT
    assert "connect it again" in row["why"]


def test_what_cannot_be_renewed_without_a_person_says_so(office: Settled, fake: Upstream) -> None:
    fake.gives_refresh = False
    office.connect(fake, office.upstream())
    said = ostiary(office, "connection", "refresh", "notes", "--person", "alice", code=1)
    assert "connect it again" in said


def test_what_is_ended_is_forgotten_here_and_there(office: Settled, fake: Upstream) -> None:
    (row,) = told(office, "revoke", "--server", "notes", "--person", "alice")
    assert row["state"] == ConnectionState.REVOKED
    assert [account.person for account in fake.refreshes.values()] == ["usr_bob", "team"]
    with office.office.database.read() as session:
        assert session.get(Secret, (owner("notes", "usr_alice"), "tokens")) is None
        assert not office.office.vault.problems(session)
    assert told(office, "revoke", "--person", "alice") == []
    assert "there was nothing to end" in ostiary(office, "connection", "revoke", "--person", "alice")
    assert '"event":"connection.revoked"' in office.written()
    assert '"who":"operator:' in office.written()


def test_what_is_ended_is_forgotten_here_although_the_other_side_is_away(office: Settled, fake: Upstream) -> None:
    fake.replies["/revoke"] = lambda _: Reply(503, b"")
    assert len(told(office, "revoke", "--server", "notes")) == 2
    with office.office.database.read() as session:
        assert session.get(Secret, (owner("notes", "usr_bob"), "tokens")) is None


@pytest.mark.parametrize("how", [("user", "disable", "alice"), ("revoke", "person", "alice")])
def test_who_is_disabled_or_signed_out_everywhere_has_no_connection_left(office: Settled, how: tuple[str, ...]) -> None:
    ostiary(office, *how)
    states = {row["account"]: row["state"] for row in told(office, "list", "--server", "notes")}
    assert states == {"user:alice": "revoked", "user:bob": "connected"}
