"""Signed-in browsers and links that work once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel, select

from authz.errors import LinkSpent
from authz.people.accounts import add_person, load_members
from authz.people.sessions import (
    ADMIN_LINK,
    LINK_LIFE,
    begin_session,
    end_session,
    end_sessions,
    find_session,
    keep_session,
    look_at_link,
    make_link,
    use_link,
)
from authz.tables import BrowserSession, OneTimeLink
from registry.database import Database, sqlite_url
from tests.servers.postgres import postgresql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlmodel import Session

    from authz.tables import Person

NOW = 1_000_000.0


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = sqlite_url(tmp_path) if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    opened = Database(url)
    SQLModel.metadata.drop_all(opened.engine)
    SQLModel.metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def alice(database: Database) -> Person:
    with database.change() as session:
        return add_person(session, "alice", password_hash="x")


def begin(session: Session, person: Person, life: float = 900) -> str:
    return begin_session(session, person, now=NOW, life=life, amr="pwd", address="203.0.113.7")


def test_a_cookie_is_who_it_was_given_to_until_it_ends(database: Database, alice: Person) -> None:
    with database.change() as session:
        token = begin(session, alice)
        found = find_session(session, token, NOW + 200)
        assert found is not None
        assert (found.person.id, found.auth_time, found.amr) == (alice.id, NOW, "pwd")
        keep_session(session, found.session, NOW + 800)
        assert find_session(session, token, NOW + 899) is not None
        assert find_session(session, token, NOW + 900) is None


def test_a_session_that_nobody_uses_ends_after_a_quarter_of_its_life(database: Database, alice: Person) -> None:
    with database.change() as session:
        token = begin(session, alice, life=4000)
        found = find_session(session, token, NOW + 1000)
        assert found is not None
        assert find_session(session, token, NOW + 1001) is None
        keep_session(session, found.session, NOW + 1000)
        assert find_session(session, token, NOW + 2000) is not None
        assert find_session(session, token, NOW + 2001) is None


def test_not_every_look_is_worth_a_write(database: Database, alice: Person) -> None:
    with database.change() as session:
        token = begin(session, alice, life=4000)
        worn = [find_session(session, token, NOW + age).worn for age in (0, 100, 101, 999)]  # type: ignore[union-attr]
        assert worn == [False, False, True, True]


def test_what_is_stored_opens_nothing(database: Database, alice: Person) -> None:
    with database.change() as session:
        token = begin(session, alice)
        stored = session.exec(select(BrowserSession.hash)).one()
        assert token not in stored
        assert find_session(session, stored, NOW) is None


def test_ending_the_others_leaves_this_one(database: Database, alice: Person) -> None:
    with database.change() as session:
        here, there = begin(session, alice), begin(session, alice)
        mine = find_session(session, here, NOW)
        assert mine is not None
        end_sessions(session, alice.id, but=mine.session)
        assert find_session(session, here, NOW) is not None
        assert find_session(session, there, NOW) is None
        end_session(session, mine.session)
        assert find_session(session, here, NOW) is None


def test_a_principal_has_the_groups_that_hold_now(database: Database, alice: Person) -> None:
    with database.change() as session:
        found = find_session(session, begin(session, alice), NOW)
        assert found is not None
        principal = found.principal(load_members(session)[alice.id], "http://127.0.0.1/mcp", NOW)
    assert principal.subjects == {"user:alice"}
    assert principal.scopes == {"mcp"}


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(token=st.text(max_size=200).filter(lambda text: "\0" not in text))
def test_t_90_no_invented_cookie_or_link_is_anybody(database: Database, token: str) -> None:
    with database.read() as session:
        assert find_session(session, token, NOW) is None
        assert look_at_link(session, token, ADMIN_LINK, NOW) is None


def test_a_link_is_for_one_purpose(database: Database) -> None:
    with database.change() as session:
        token = make_link(session, ADMIN_LINK, NOW)
        assert look_at_link(session, token, "something else", NOW) is None
        with pytest.raises(LinkSpent):
            use_link(session, token, "something else", NOW)
        use_link(session, token, ADMIN_LINK, NOW + LINK_LIFE - 1)
        with pytest.raises(LinkSpent):
            use_link(session, token, ADMIN_LINK, NOW)


def test_a_link_that_is_too_old_is_not_used(database: Database) -> None:
    with database.change() as session:
        token = make_link(session, ADMIN_LINK, NOW)
        with pytest.raises(LinkSpent):
            use_link(session, token, ADMIN_LINK, NOW + LINK_LIFE)
        assert session.exec(select(OneTimeLink.used_at)).one() is None


def test_of_ten_that_use_one_link_at_once_one_wins(database: Database) -> None:
    with database.change() as session:
        token = make_link(session, ADMIN_LINK, NOW)

    def use(_: int) -> bool:
        try:
            with database.change() as session:
                use_link(session, token, ADMIN_LINK, NOW)
        except LinkSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(use, range(10))).count(True) == 1
