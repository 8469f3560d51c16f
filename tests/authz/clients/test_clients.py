"""Clients: which of them count now, and their secrets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.clients.known import find_client, load_clients, mark_used, new_secret, secret_matches
from authz.errors import ScopeRefused
from authz.scopes import LIMIT, parse_scope, write_scope
from authz.tables import Client
from authz.tokens.minting import OPERATOR_CLIENT
from authz.tokens.personal import CLIENT as PERSONAL
from registry.database import Database, sqlite_url
from registry.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlmodel import Session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    with database.change() as opened:
        yield opened
    database.close()


def test_disabled_and_expired_clients_do_not_count(session: Session) -> None:
    now = time.time()
    session.add(Client(id="good", origin="registered"))
    session.add(Client(id="young", origin="dynamic", expires_at=now + 60))
    session.add(Client(id="old", origin="dynamic", expires_at=now - 1))
    session.add(Client(id="off", origin="registered", disabled_at=now))

    assert load_clients(session) == {"good", "young", OPERATOR_CLIENT, PERSONAL}
    assert [name for name in ("good", "young", "old", "off", "none") if find_client(session, name, now)] == [
        "good",
        "young",
    ]


def test_a_client_in_use_no_longer_expires() -> None:
    client = Client(id="c", origin="dynamic", expires_at=5.0)

    assert mark_used(client, 1.0)
    assert client.expires_at is None
    assert not mark_used(client, 2.0)
    assert client.last_used_at == 2.0


@given(st.text())
def test_only_the_secret_itself_matches(guess: str) -> None:
    secret, hashed = new_secret()
    client = Client(id="c", origin="agent", secret_hash=hashed)

    assert secret_matches(client, secret)
    assert not secret_matches(client, guess)
    assert not secret_matches(Client(id="c", origin="agent"), guess)
    assert secret not in repr(client)


@given(st.sets(st.sampled_from(["mcp", "a.*", "a.b", "c-d.e_f", "x.y/z.w", "n.note://{id}"]), min_size=1))
def test_scopes_are_read_as_they_are_written(scopes: set[str]) -> None:
    assert parse_scope(write_scope(frozenset(scopes))) == scopes


@pytest.mark.parametrize(
    "text", ["", " ", "mcp ", " mcp", "a.b  c.d", "a", "a.", ".b", "A.b", "a.*b", "*.*", "a.b\n", "MCP"]
)
def test_what_is_no_scope_is_refused(text: str) -> None:
    with pytest.raises(ScopeRefused):
        parse_scope(text)


def test_a_token_has_no_more_scopes_than_the_limit() -> None:
    assert len(parse_scope(" ".join(f"a.t{n}" for n in range(LIMIT)))) == LIMIT
    with pytest.raises(ScopeRefused, match="at most 32"):
        parse_scope(" ".join(f"a.t{n}" for n in range(LIMIT + 1)))
