"""People, groups and agents, as policy will know them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from authz.clients.agents import disable_client
from authz.clients.enrolling import add_agent, add_client, find_any
from authz.errors import AccountRefused
from authz.grammar import check_handle
from authz.people.accounts import (
    add_group,
    add_person,
    admins,
    disable_person,
    join,
    leave,
    load_members,
    member_id,
    remove_group,
)
from authz.tables import Person
from authz.tokens.cutoffs import Cut, cut_off, is_cut, load_cutoffs
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
    with database.change() as session:
        yield session
    database.close()


def person(session: Session, handle: str, *, is_admin: bool = False) -> str:
    return add_person(session, handle, password_hash="x", is_admin=is_admin).id


def test_members_are_people_and_agents_with_what_policy_calls_them(session: Session) -> None:
    alice = person(session, "alice")
    agent, _ = add_agent(session, "nightly")
    add_group(session, "editors")
    join(session, "editors", alice)
    join(session, "editors", agent.id)
    members = load_members(session)
    assert members[alice].subjects(time.time()) == {"user:alice", "group:editors"}
    assert members[agent.id].subjects(time.time()) == {"agent:nightly", "group:editors"}


def test_a_membership_from_a_sign_in_ends_when_it_said(session: Session) -> None:
    alice = person(session, "alice")
    add_group(session, "editors")
    join(session, "editors", alice, until=1000.0)
    member = load_members(session)[alice]
    assert "group:editors" in member.subjects(999.0)
    assert "group:editors" not in member.subjects(1000.0)


def test_a_disabled_person_is_no_member_and_what_was_issued_is_cut(session: Session) -> None:
    found = add_person(session, "alice", password_hash="x")
    now = time.time()
    disable_person(session, found, now)
    session.flush()
    assert load_members(session) == {}
    assert load_cutoffs(session).cuts(Cut.PERSON, found.id, now)
    assert not load_cutoffs(session).cuts(Cut.PERSON, found.id, now + 1)


def test_a_disabled_agent_is_no_member_and_holds_nothing(session: Session) -> None:
    agent, _ = add_agent(session, "nightly")
    now = time.time()
    disable_client(session, agent, now)
    session.flush()
    assert load_members(session) == {}
    assert load_cutoffs(session).cuts(Cut.CLIENT, agent.id, now)
    assert load_cutoffs(session).cuts(Cut.PERSON, agent.id, now)


def test_a_client_for_people_is_no_member(session: Session) -> None:
    add_client(session, "An Editor", ["https://editor.example/cb"])
    assert load_members(session) == {}


def test_a_group_made_again_under_its_old_name_begins_empty(session: Session) -> None:
    alice = person(session, "alice")
    add_group(session, "editors")
    join(session, "editors", alice)
    remove_group(session, "editors")
    session.flush()
    add_group(session, "editors")
    assert load_members(session)[alice].groups == {}


def test_nobody_joins_a_group_that_is_not_there(session: Session) -> None:
    alice = person(session, "alice")
    with pytest.raises(AccountRefused, match="no group 'editors'"):
        join(session, "editors", alice)


def test_leaving_takes_a_membership_and_says_if_there_was_none(session: Session) -> None:
    alice = person(session, "alice")
    add_group(session, "editors")
    join(session, "editors", alice)
    session.flush()
    leave(session, "editors", alice)
    session.flush()
    with pytest.raises(AccountRefused, match="not a member"):
        leave(session, "editors", alice)


def test_two_people_never_have_one_handle(session: Session) -> None:
    person(session, "alice")
    with pytest.raises(AccountRefused, match="already"):
        person(session, "alice")


def test_t_93_an_error_of_the_database_carries_no_hash(session: Session) -> None:
    found = add_person(session, "alice", password_hash="x")
    session.add(Person(id="other", issuer=found.issuer, subject=found.subject, handle="b", password_hash="canary"))
    with pytest.raises(IntegrityError) as error:
        session.flush()
    assert "canary" not in str(error.value)
    session.rollback()


def test_only_enabled_admins_count(session: Session) -> None:
    person(session, "alice", is_admin=True)
    bob = add_person(session, "bob", password_hash="x", is_admin=True)
    assert admins(session) == 2
    disable_person(session, bob, 1.0)
    session.flush()
    assert admins(session) == 1


@pytest.mark.parametrize("name", ["alice", "user:alice"])
def test_somebody_is_found_by_handle_or_label(session: Session, name: str) -> None:
    alice = person(session, "alice")
    add_agent(session, "alice")
    assert member_id(session, name) == alice
    assert member_id(session, "agent:alice") == find_any(session, "agent:alice").id != alice


def test_a_secret_is_stored_as_its_digest_alone(session: Session) -> None:
    agent, secret = add_agent(session, "nightly")
    assert secret not in repr(agent)
    assert secret not in str(agent.model_dump())


@pytest.mark.parametrize(
    ("uris", "confidential"),
    [([], False), (["http://example.com/cb"], False), (["javascript:alert(1)"], False), (["https://a/#b"], True)],
)
def test_a_client_needs_a_redirect_that_is_safe(session: Session, uris: list[str], *, confidential: bool) -> None:
    with pytest.raises(AccountRefused, match="redirect URI"):
        add_client(session, "x", uris, confidential=confidential)


@given(st.text(max_size=140))
def test_a_handle_has_one_spelling_and_cannot_be_taken_for_another_kind_of_subject(text: str) -> None:
    try:
        handle = check_handle(text)
    except AccountRefused:
        return
    assert handle == handle.lower()
    assert handle.isascii()
    assert ":" not in handle
    assert "*" not in handle
    assert not any(char.isspace() for char in handle)


def test_a_cut_never_moves_back(session: Session) -> None:
    cut_off(session, Cut.PERSON, "usr_1", now=200.0)
    cut_off(session, Cut.PERSON, "usr_1", now=100.0)
    assert is_cut(session, Cut.PERSON, "usr_1", 150.0)
