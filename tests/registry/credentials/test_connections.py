from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from registry.credentials import connection_states as states
from registry.credentials import connections
from registry.credentials.authenticating import load_credentials, set_auth
from registry.credentials.connections import Tokens
from registry.errors import SecretRefused
from registry.servers import find, retire
from registry.tables import Auth, Connection, ConnectionState, Secret

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf

NOW = time.time()
HOUR = 3600.0


def tokens(access: str = "at-1", **more: object) -> Tokens:
    told: dict[str, object] = {"refresh": "rt-1", "expires_at": NOW + HOUR, "issuer": "https://as.example"}
    return Tokens(access=access, **(told | more))  # type: ignore[arg-type]


def connect(shelf: Shelf, subject: str = "usr_a", given: Tokens | None = None, slug: str = "notes") -> Connection:
    with shelf.database.change() as session:
        return connections.connect(session, shelf.vault, slug, subject, given or tokens(), by="user:a", now=NOW)


def stored(shelf: Shelf, subject: str = "usr_a", slug: str = "notes") -> Connection:
    with shelf.database.read() as session:
        row = connections.find(session, slug, subject)
    assert row is not None
    return row


def kept(shelf: Shelf, row: Connection) -> Tokens:
    with shelf.database.read() as session:
        return connections.tokens_of(session, shelf.vault, row)


def secrets(shelf: Shelf) -> int:
    with shelf.database.read() as session:
        return len(session.exec(select(Secret)).all())


@pytest.fixture(autouse=True)
def _notes(shelf: Shelf) -> None:
    shelf.add("notes", auth=Auth.OAUTH_PERSON)


def test_the_tokens_of_a_connection_are_those_that_were_given_for_it(shelf: Shelf) -> None:
    connect(shelf, "usr_a", tokens("at-a"))
    connect(shelf, "usr_b", tokens("at-b"))
    connect(shelf, "", tokens("at-shared"))
    assert [kept(shelf, stored(shelf, subject)).access for subject in ("usr_a", "usr_b", "")] == [
        "at-a", "at-b", "at-shared",
    ]  # fmt: skip


def test_no_token_is_in_what_is_shown_of_it() -> None:
    shown = repr(tokens("canary-access", refresh="canary-refresh"))
    assert "canary" not in shown
    assert "https://as.example" in shown


def test_a_renewal_is_kept_with_the_next_generation_and_the_same_account(shelf: Shelf) -> None:
    before = connect(shelf)
    with shelf.database.change() as session:
        assert connections.renew(session, shelf.vault, before, tokens("at-2"), NOW + 60) is not None
    after = stored(shelf)
    assert (after.generation, after.account, after.state) == (
        before.generation + 1, before.account, ConnectionState.CONNECTED,
    )  # fmt: skip
    assert kept(shelf, after).access == "at-2"


def test_a_renewal_of_what_was_connected_anew_meanwhile_is_thrown_away(shelf: Shelf) -> None:
    before = connect(shelf)
    connect(shelf, given=tokens("at-anew"))
    with shelf.database.change() as session:
        assert connections.renew(session, shelf.vault, before, tokens("at-2"), NOW + 60) is None
    assert kept(shelf, stored(shelf)).access == "at-anew"
    assert stored(shelf).account != before.account


def test_a_renewal_of_what_was_ended_meanwhile_is_thrown_away(shelf: Shelf) -> None:
    before = connect(shelf)
    with shelf.database.change() as session:
        assert connections.revoke(session, "notes", "usr_a", "it was ended", NOW)
    with shelf.database.change() as session:
        assert connections.renew(session, shelf.vault, before, tokens("at-2"), NOW + 60) is None
    assert stored(shelf).state == ConnectionState.REVOKED


def test_nothing_follows_for_a_row_that_was_read_before_another_renewed_it(shelf: Shelf) -> None:
    before = connect(shelf)
    with shelf.database.change() as session:
        connections.renew(session, shelf.vault, before, tokens("at-2"), NOW + 60)
    with shelf.database.change() as session:
        assert connections.step(session, before, lambda one: states.needing(one, "late", NOW + 61)) is None
    assert stored(shelf).state == ConnectionState.CONNECTED


def test_of_what_was_ended_nothing_is_kept_once_it_is_forgotten(shelf: Shelf) -> None:
    row = connect(shelf)
    with shelf.database.change() as session:
        connections.forget(session, shelf.vault, row)
    assert secrets(shelf) == 1  # it is alive
    with shelf.database.change() as session:
        connections.revoke(session, "notes", "usr_a", "it was ended", NOW)
        session.flush()
        assert [one.subject for one in connections.ended_with_secrets(session, 10)] == ["usr_a"]
        connections.forget(session, shelf.vault, row)
    assert secrets(shelf) == 0
    with shelf.database.read() as session:
        assert not connections.ended_with_secrets(session, 10)
        assert not shelf.vault.problems(session)


def test_the_row_of_one_issuer_does_not_open_the_tokens_of_another(shelf: Shelf) -> None:
    row = connect(shelf)
    with shelf.database.change() as session:
        session.get_one(Connection, ("notes", "usr_a")).issuer = "https://evil.example"
    with pytest.raises(SecretRefused, match="another issuer"):
        kept(shelf, stored(shelf))
    assert row.issuer == "https://as.example"


@pytest.mark.parametrize("how", ["retire", "another mode", "each their own"])
def test_connections_go_with_the_server_and_with_its_mode(shelf: Shelf, how: str) -> None:
    for subject in ("usr_a", "usr_b", ""):
        connect(shelf, subject)
    with shelf.database.change() as session:
        if how == "retire":
            retire(session, "notes", shelf.vault)
        else:
            mode = Auth.NONE if how == "another mode" else Auth.STATIC
            settings = {"per": "person", "header": "X-Key"} if mode is Auth.STATIC else {}
            set_auth(session, find(session, "notes"), mode, settings, {}, shelf.vault)
    with shelf.database.read() as session:
        assert not connections.listed(session, slug="notes")
        assert not shelf.vault.problems(session)
    assert secrets(shelf) == 0


def test_a_header_for_all_is_no_longer_sent_when_each_person_gives_their_own(shelf: Shelf) -> None:
    shelf.add("board", auth=Auth.STATIC, secrets={"header": b"X-Key: everybody"})
    with shelf.database.read() as session:
        assert "board" in load_credentials(session, shelf.vault)
    with shelf.database.change() as session:
        settings = {"per": "person", "header": "X-Key"}
        set_auth(session, find(session, "board"), Auth.STATIC, settings, {}, shelf.vault)
    with shelf.database.read() as session:
        assert "board" not in load_credentials(session, shelf.vault)
    assert secrets(shelf) == 0


def test_those_that_are_due_come_first_come_first_served_and_only_while_they_live(shelf: Shelf) -> None:
    for subject, life in (("usr_a", 400.0), ("usr_b", 100.0), ("usr_c", 9000.0), ("usr_d", 50.0)):
        connect(shelf, subject, tokens(expires_at=NOW + life))
    with shelf.database.change() as session:
        connections.revoke(session, "notes", "usr_d", "ended", NOW)
    with shelf.database.read() as session:
        assert [row.subject for row in connections.due(session, NOW + 400, 10)] == ["usr_b", "usr_a"]


def test_all_that_a_person_connected_ends_at_once_and_nobody_elses(shelf: Shelf) -> None:
    shelf.add("board", auth=Auth.OAUTH_PERSON)
    connect(shelf, "usr_a")
    connect(shelf, "usr_a", slug="board")
    connect(shelf, "usr_b")
    with shelf.database.change() as session:
        assert connections.revoke_all_of(session, "usr_a", "they left", NOW) == 2
        assert connections.revoke_all_of(session, "usr_a", "they left", NOW) == 0
    assert [stored(shelf, "usr_a").state, stored(shelf, "usr_a", "board").state] == [ConnectionState.REVOKED] * 2
    assert stored(shelf, "usr_b").state == ConnectionState.CONNECTED
