"""`ostiary delegation` and how far a client reaches, as an operator types them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from authz.clients.enrolling import find_any
from authz.clients.known import TOKEN_EXCHANGE
from tests.gateway.cli.test_people import Console

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def console(tmp_path: Path) -> Console:
    console = Console(tmp_path / "data")
    console.do("user", "add", "ann", "--generate")
    console.do("client", "add", "nightly", "--agent")
    return console


def given(console: Console, *more: str) -> str:
    words = ("--user", "ann", "--agent", "nightly", "--scope", "notes.add clock.*")
    made: str = console.json("delegation", "add", *words, *more)["delegation"]
    return made


def test_a_delegation_is_given_shown_and_ended(console: Console) -> None:
    made = given(console, "--uses", "3", "--reason", "the nightly report")

    shown = console.json("delegation", "show", made)
    assert (shown["person"], shown["agent"], shown["scope"]) == ("user:ann", "agent:nightly", "clock.* notes.add")
    assert (shown["uses_left"], shown["state"], shown["reason"]) == (3, "active", "the nightly report")
    assert shown["given_by"].startswith("operator:")
    assert [row["delegation"] for row in console.json("delegation", "list", "--agent", "agent:nightly")] == [made]
    assert made in console.do("delegation", "list", "--user", "ann")

    console.do("delegation", "end", made)
    assert console.do("delegation", "list") == "no delegation\n"
    assert console.json("delegation", "list", "--all")[0]["state"] == "ended"
    events = [event for event in console.events() if event["event"].startswith("delegation.")]
    assert {(event["event"], event["person"], event["agent"]) for event in events} == {
        ("delegation.given", "user:ann", "agent:nightly"), ("delegation.ended", "user:ann", "agent:nightly"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--user", "bob", "--agent", "nightly", "--scope", "notes.add"), "nobody is called 'bob'"),
        (("--user", "ann", "--agent", "daily", "--scope", "notes.add"), "no agent is called 'daily'"),
        (("--user", "ann", "--agent", "nightly", "--scope", "everything"), "server.tool"),
        (("--user", "ann", "--agent", "nightly", "--scope", "mcp"), "name the tools"),
        (("--user", "ann", "--agent", "nightly", "--scope", "notes.add", "--reason", "a\nb"), "one line"),
    ],
)
def test_what_cannot_be_given_is_said(console: Console, words: tuple[str, ...], said: str) -> None:
    refused = console.run("delegation", "add", *words)
    assert refused.exit_code == 1
    assert said in refused.output
    assert console.json("delegation", "list") == []


def test_one_that_is_not_there_is_said(console: Console) -> None:
    for verb in ("show", "end"):
        assert "ostiary delegation list" in console.run("delegation", verb, "dlg_x").output


def test_nobody_disabled_gives_or_gets_one(console: Console) -> None:
    console.do("user", "disable", "ann")
    assert (
        "the person is disabled"
        in console.run("delegation", "add", "--user", "ann", "--agent", "nightly", "--scope", "a.b").output
    )


def test_a_client_may_exchange_what_was_issued_to_it_elsewhere(console: Console) -> None:
    console.do("client", "add", "app", "--confidential", "--redirect-uri", "https://app.example/back")
    client = console.json("client", "list")[-1]["client"]
    console.do("client", "exchange", client, "--external-id", "app-at-okta", "--external-id", "app-at-entra")
    with console.office().database.read() as session:
        row = find_any(session, client)
        assert (TOKEN_EXCHANGE in row.grant_types, row.external_client_ids) == (True, ["app-at-okta", "app-at-entra"])
    console.do("client", "exchange", client, "--off")
    with console.office().database.read() as session:
        row = find_any(session, client)
        assert (TOKEN_EXCHANGE in row.grant_types, row.external_client_ids) == (False, [])


def test_a_client_that_cannot_prove_itself_exchanges_nothing(console: Console) -> None:
    console.do("client", "add", "app", "--redirect-uri", "http://127.0.0.1/back")
    client = console.json("client", "list")[-1]["client"]
    assert "cannot prove who it is" in console.run("client", "exchange", client).output


def test_a_client_is_given_a_reach(console: Console) -> None:
    assert console.json("client", "scope", "agent:nightly", "notes.* clock.now")["scope"] == "clock.now notes.*"
    with console.office().database.read() as session:
        assert find_any(session, "agent:nightly").scope == "clock.now notes.*"
    console.do("client", "scope", "agent:nightly", "mcp")
    with console.office().database.read() as session:
        assert find_any(session, "agent:nightly").scope == ""
