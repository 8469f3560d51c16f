"""The portal's home, for everybody and for one person."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlmodel import select

from authz.tables import Client, Code, Consent, CutOff
from authz.tokens.families import Allowance, allowance_of, first_refresh, keep_code, present
from registry.database import Concern
from tests.gateway.pages.desk import catalogue

if TYPE_CHECKING:
    from authz.tables import Person
    from tests.gateway.pages.desk import Desk


def test_a_visitor_learns_what_this_is_and_how_to_come_in(desk: Desk) -> None:
    text = desk.browser().get("/").text
    assert "http://127.0.0.1:8080/mcp</code>" in text
    for client in ("Claude Code", "Cursor", "VS Code", "MCP Inspector", "Python SDK", "claude.ai", "ChatGPT"):
        assert client in text
    assert "needs an https address" in text
    assert "My servers" not in text


def test_two_people_see_different_tools(desk: Desk) -> None:
    desk.catalogue = catalogue("notes.read", "notes.delete", "clock.now")
    desk.person("alice")
    desk.person("bob")
    desk.rule("user:alice", "notes.*", "call")
    desk.rule("user:bob", "clock.now", "call")
    assert _tools(desk, "alice") == {"notes_read", "notes_delete"}
    assert _tools(desk, "bob") == {"clock_now"}


def _tools(desk: Desk, handle: str) -> set[str]:
    browser = desk.browser()
    browser.sign_in(handle)
    text = browser.get("/").text
    return {name for name in ("notes_read", "notes_delete", "clock_now") if f"<code>{name}</code>" in text}


def test_a_right_to_read_resources_shows_no_tools_here_either(desk: Desk) -> None:
    desk.catalogue = catalogue(
        "notes.delete", paused={("tool", "notes.write"): "it is new", ("resource", "notes.index"): "it is new"}
    )
    desk.person("alice")
    desk.rule("user:alice", "notes.*", "read")
    browser = desk.browser()
    browser.sign_in("alice")
    text = browser.get("/").text
    assert "notes_delete" not in text
    assert "notes.write" not in text
    assert "notes.index" in text


def test_what_may_be_seen_but_not_called_says_so_and_why(desk: Desk) -> None:
    desk.catalogue = catalogue("notes.delete")
    desk.person("alice")
    desk.rule("user:alice", "notes.delete", "list")
    browser = desk.browser()
    browser.sign_in("alice")
    text = browser.get("/").text
    assert "not allowed" in text
    assert "No rule allows user:alice to call notes.delete" in text


def test_a_description_is_text_and_never_markup(desk: Desk) -> None:
    desk.catalogue = catalogue("notes.read")
    desk.person("alice")
    desk.rule("user:alice", "notes.*", "call")
    browser = desk.browser()
    browser.sign_in("alice")
    text = browser.get("/").text
    assert "&lt;b&gt;boldly&lt;/b&gt;" in text
    assert "<b>" not in text


def test_what_is_paused_is_told_to_those_who_may_use_it(desk: Desk) -> None:
    desk.catalogue = catalogue(paused={("tool", "notes.write"): "changed since it was approved"})
    desk.person("alice")
    desk.person("bob")
    desk.rule("user:alice", "notes.*", "call")
    alice, bob = desk.browser(), desk.browser()
    alice.sign_in("alice")
    bob.sign_in("bob")
    assert "changed since it was approved" in alice.get("/").text
    assert "notes.write" not in bob.get("/").text


def test_a_client_that_is_revoked_has_nothing_left(desk: Desk) -> None:
    alice = desk.person("alice")
    token = connect(desk, alice, "cli_1", "An Editor")
    browser = desk.browser()
    browser.sign_in("alice")
    assert "An Editor" in browser.get("/").text
    assert browser.post("/account/clients/revoke", seen="/", client="cli_1").status_code == 303
    assert "An Editor" not in browser.get("/").text
    with desk.office.database.change() as session:
        assert present(session, token, "cli_1", time.time()) is None
        assert [cut.kind for cut in session.exec(select(CutOff))] == ["family"]
    assert desk.records("client.disconnected")[0]["families"] == 1


def test_revoking_moves_the_epoch_that_every_process_watches(desk: Desk) -> None:
    connect(desk, desk.person("alice"), "cli_1", "An Editor")
    browser = desk.browser()
    browser.sign_in("alice")
    before = desk.office.database.epochs()[Concern.CUTOFFS]
    browser.post("/account/clients/revoke", seen="/", client="cli_1")
    assert desk.office.database.epochs()[Concern.CUTOFFS] == before + 1


def test_nobody_revokes_somebody_elses_client(desk: Desk) -> None:
    token = connect(desk, desk.person("alice"), "cli_1", "An Editor")
    desk.person("bob")
    browser = desk.browser()
    browser.sign_in("bob")
    browser.post("/account/clients/revoke", seen="/", client="cli_1")
    with desk.office.database.change() as session:
        assert present(session, token, "cli_1", time.time()) is not None


def connect(desk: Desk, person: Person, client: str, name: str) -> str:
    now, resource, redirect = time.time(), "http://127.0.0.1:8080/mcp", "http://127.0.0.1:9/cb"
    allowed = Allowance(client=client, person=person.id, resource=resource, scope="mcp", auth_time=now)
    with desk.office.database.change() as session:
        session.add(Client(id=client, name=name, origin="dynamic"))
        session.add(
            Consent(
                person=person.id, client=client, redirect_uri=redirect, resource=resource, scope="mcp", given_at=now
            )
        )
        keep_code(session, "a code", allowed, redirect_uri=redirect, challenge="x", now=now)
        session.flush()
        code = session.exec(select(Code)).one()
        return first_refresh(session, allowance_of(code), code.family, now, 3600)


def test_a_server_with_thousands_of_tools_is_counted_and_its_first_ones_shown(desk: Desk) -> None:
    desk.catalogue = catalogue(*(f"notes.tool{number}" for number in range(1000)))
    desk.person("alice")
    desk.rule("user:alice", "notes.*", "list")
    desk.rule("user:alice", "notes.tool7", "call")
    browser = desk.browser()
    browser.sign_in("alice")
    text = browser.get("/").text
    assert "1 to use, 999 not allowed" in text
    assert "and 800 more" in text
