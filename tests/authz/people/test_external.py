"""How people whom a provider vouches for become people of ours."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from authz import grammar
from authz.errors import SignInRefused
from authz.people import external
from authz.people.accounts import add_group, add_person, join, load_members
from authz.people.external import handle_for
from authz.people.providers import remove
from authz.principals import ADMINS
from authz.tables import ClaimMapping, Membership, Person, Provider
from idp_adapters.contract import GROUPS, ExternalIdentity
from registry.database import Database, sqlite_url
from registry.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlmodel import Session

NOW = 1_000_000.0
LIFE = 8 * 3600.0
slugs = st.from_regex(grammar.SLUG, fullmatch=True)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(sqlite_url(tmp_path))
    migrate(opened)
    with opened.change() as session:
        session.add(Provider(slug="corp", kind="oidc"))
        session.add(Provider(slug="other", kind="oidc"))
        for group in ("developers", "leads"):
            add_group(session, group)
            session.add(ClaimMapping(provider="corp", claim=GROUPS, value=group[:3], group=group))
    yield opened
    opened.close()


def somebody(subject: str = "s1", *groups: str, **others: Any) -> ExternalIdentity:
    made: dict[str, Any] = {
        "issuer": "https://idp.example",
        "subject": subject,
        "login": "alice",
        "claims": {GROUPS: frozenset(groups)},
        "authenticated_at": NOW,
    }
    return ExternalIdentity(**made | others)


def admit(session: Session, identity: ExternalIdentity, provider: str = "corp", now: float = NOW) -> Person:
    return external.admit(session, provider, identity, now, LIFE)


@given(st.text(max_size=300), slugs)
def test_whatever_a_login_is_it_makes_a_handle_that_rules_can_name(login: str, slug: str) -> None:
    handle = handle_for(login, slug)
    assert re.fullmatch(grammar.HANDLE, handle)
    assert handle.endswith(f"@{slug}")
    assert handle.count("@") == 1
    name, _, at = handle.rpartition("@")
    assert re.fullmatch(grammar.HANDLE, f"{name}.99999@{at}")


def test_two_of_one_login_are_two_people(database: Database) -> None:
    with database.change() as session:
        handles = [admit(session, somebody(f"s{number}")).handle for number in range(3)]
        add_person(session, "bob@corp", password_hash="x")
        handles.append(admit(session, somebody("s9", login="bob")).handle)
    assert handles == ["alice@corp", "alice.2@corp", "alice.3@corp", "bob.2@corp"]


def test_a_new_name_or_address_changes_nobody(database: Database) -> None:
    with database.change() as session:
        first = admit(session, somebody(email="a@corp.example"))
        again = admit(session, somebody(login="alicia", name="Alicia", email="b@corp.example"))
    assert (first.id, again.handle, again.name, again.email) == (again.id, "alice@corp", "Alicia", "b@corp.example")


def test_the_address_of_somebody_else_makes_nobody_them(database: Database) -> None:
    with database.change() as session:
        first = admit(session, somebody(email="boss@corp.example"))
        other = admit(session, somebody("s2", email="boss@corp.example"))
    assert first.id != other.id


def test_a_sign_in_replaces_mapped_groups_and_leaves_those_that_were_given(database: Database) -> None:
    with database.change() as session:
        add_group(session, "given")
        person = admit(session, somebody("s1", "dev"))
        join(session, "given", person.id)
        admit(session, somebody("s1", "lea"), now=NOW + 60)
    with database.read() as session:
        rows = {row.group: (row.until, row.mapped) for row in session.exec(select(Membership))}
    assert rows == {"given": (None, False), "leads": (NOW + 60 + LIFE, True)}


def test_a_group_that_was_given_does_not_end_with_a_sign_in(database: Database) -> None:
    with database.change() as session:
        person = admit(session, somebody("s1"))
        join(session, "leads", person.id)
        admit(session, somebody("s1", "lea"))
        admit(session, somebody("s1"))
    with database.read() as session:
        assert [(row.group, row.until) for row in session.exec(select(Membership))] == [("leads", None)]


@pytest.mark.parametrize(
    "identity",
    [
        somebody(""),
        somebody("x\0y"),
        somebody("x" * 600),
        somebody("s", issuer=""),
        somebody("root", issuer="local"),
    ],
    ids=["no subject", "a NUL", "endless", "no issuer", "ours"],
)
def test_who_cannot_be_named_is_nobody(database: Database, identity: ExternalIdentity) -> None:
    with database.change() as session:
        add_person(session, "root", password_hash="x", is_admin=True)
        with pytest.raises(SignInRefused):
            admit(session, identity)
        assert len(session.exec(select(Person)).all()) == 1


def test_a_second_provider_takes_people_over_only_when_the_first_is_gone(database: Database) -> None:
    with database.change() as session:
        person = admit(session, somebody())
        with pytest.raises(SignInRefused):
            admit(session, somebody(), "other")
        remove(session, session.get_one(Provider, "corp"), NOW)
        assert person.disabled_at == NOW
        assert admit(session, somebody(), "other").id == person.id


def test_who_left_and_comes_back_is_the_same_and_was_nothing_in_between(database: Database) -> None:
    with database.change() as session:
        person = admit(session, somebody("s1", "dev"))
        external.disappear(session, "corp", person, NOW)
        assert person.id not in load_members(session)
        assert not session.exec(select(Membership)).all()
        assert admit(session, somebody("s1", "dev")).id == person.id
        assert person.id in load_members(session)


def test_the_group_of_administrators_makes_one_for_as_long_as_it_holds(database: Database) -> None:
    now = time.time()
    with database.change() as session:
        add_group(session, ADMINS)
        session.add(ClaimMapping(provider="corp", claim=GROUPS, value="it", group=ADMINS))
        person = admit(session, somebody("s1", "it"), now=now)
        member = load_members(session)[person.id]
    assert not member.is_admin
    assert [member.administers(now + after) for after in (0, LIFE - 1, LIFE + 1)] == [True, True, False]
