"""Providers are asked again about their people."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.people.accounts import add_group
from authz.tables import (
    BrowserSession,
    ClaimMapping,
    Delegation,
    ForeignSession,
    Membership,
    Person,
    Provider,
    RefreshToken,
)
from authz.tokens import families
from authz.tokens.cutoffs import Cut, load_cutoffs
from authz.tokens.families import Allowance
from gateway.identity.refreshing import Refreshing
from registry.database import Concern
from tests.fakes.providers.identity import fake_kinds
from tests.gateway.pages.test_external import sign_in

if TYPE_CHECKING:
    from tests.fakes.providers.identity import Organisation
    from tests.gateway.pages.desk import Desk

HOUR = 3600.0


@pytest.fixture
def organisation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    found = fake_kinds(monkeypatch)
    found.groups |= {"alice": ["devs"], "bob": ["devs"]}
    found.passwords |= {"alice": "directory password", "bob": "another password"}
    with desk.office.database.change(Concern.PEOPLE) as session:
        add_group(session, "developers")
        add_group(session, "leads")
        for slug, kind in (("corp", "away"), ("dir", "ask")):
            session.add(Provider(slug=slug, kind=kind))
            session.add(ClaimMapping(provider=slug, claim="groups", value="devs", group="developers"))
            session.add(ClaimMapping(provider=slug, claim="groups", value="leads", group="leads"))
    return found


def by_password(desk: Desk, person: str = "alice") -> Any:
    browser = desk.browser()
    fields = {"handle": person, "password": f"{'directory' if person == 'alice' else 'another'} password"}
    assert browser.post("/signin/dir", seen="/signin/dir", **fields).status_code == 303
    return browser


def look(desk: Desk, after: float) -> None:
    Refreshing(desk.office, desk.providers).look(time.time() + after)


def groups(desk: Desk) -> dict[str, float | None]:
    with desk.office.database.read() as session:
        return {row.group: row.until for row in session.exec(select(Membership))}


def a_client_of(desk: Desk) -> str:
    """A refresh token that was founded in the browser of whoever signed in last."""
    now = time.time()
    with desk.office.database.change() as session:
        row = session.exec(select(BrowserSession)).one()
        allowed = Allowance(client="c", person=row.person, resource="r", scope="mcp", auth_time=now, session=row.hash)
        return families.first_refresh(session, allowed, "family", now, 30 * 86400)


def test_groups_are_asked_for_again_before_they_end(desk: Desk, organisation: Organisation) -> None:
    sign_in(desk.browser())
    first = groups(desk)["developers"]
    asking = Refreshing(desk.office, desk.providers)
    asking.look(time.time() + 1 * HOUR)
    assert "renew alice" not in organisation.asked
    organisation.groups["alice"] = ["leads"]
    asking.look(time.time() + 5 * HOUR)
    assert "renew alice" in organisation.asked
    later = groups(desk)
    assert later.keys() == {"leads"}
    assert later["leads"] - first == pytest.approx(5 * HOUR, abs=5)  # type: ignore[operator]
    assert [record["groups"] for record in desk.records("person.groups")] == [["leads"]]


def test_nobody_is_asked_about_whose_browser_and_clients_are_gone(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    sign_in(browser)
    with desk.office.database.change() as session:
        session.delete(session.exec(select(BrowserSession)).one())
    look(desk, 5 * HOUR)
    assert "renew alice" not in organisation.asked


def test_a_client_keeps_its_persons_groups_fresh_after_the_browser_is_gone(
    desk: Desk, organisation: Organisation
) -> None:
    sign_in(desk.browser())
    a_client_of(desk)
    look(desk, 10 * HOUR)
    assert "renew alice" in organisation.asked
    assert groups(desk)["developers"] > time.time() + 17 * HOUR  # type: ignore[operator]


def test_a_provider_that_is_down_ends_nobody_and_groups_run_out(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    sign_in(browser)
    before = groups(desk)
    organisation.down = True
    look(desk, 5 * HOUR)
    assert groups(desk) == before
    assert "Hello" in browser.get("/").text


def test_whoever_the_provider_gives_no_word_of_loses_groups_sessions_and_clients(
    desk: Desk, organisation: Organisation
) -> None:
    browser = desk.browser()
    sign_in(browser)
    a_client_of(desk)
    del organisation.groups["alice"]
    look(desk, 5 * HOUR)
    assert not groups(desk)
    assert "Hello" not in browser.get("/").text
    with desk.office.database.read() as session:
        assert session.exec(select(RefreshToken)).one().ended_at is not None
        assert load_cutoffs(session).cuts(Cut.FAMILY, "family", time.time())
        assert session.exec(select(Person)).one().disabled_at is None
    assert [record["person"] for record in desk.records("person.lapsed")] == ["user:alice@corp"]


def test_an_answer_about_somebody_else_ends_the_session(
    desk: Desk, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(desk.browser())
    real = organisation.identity
    monkeypatch.setattr(organisation, "identity", lambda person, session="", **_: real("bob", session))
    look(desk, 5 * HOUR)
    with desk.office.database.read() as session:
        assert not session.exec(select(ForeignSession)).all()


def test_a_directory_is_asked_about_all_at_once_and_often(desk: Desk, organisation: Organisation) -> None:
    by_password(desk)
    by_password(desk, "bob")
    organisation.groups["alice"] = []
    look(desk, 1)
    assert organisation.asked.count("survey") == 1
    with desk.office.database.read() as session:
        rows = session.exec(select(Membership)).all()
    assert len(rows) == 1


def test_a_survey_that_changes_nothing_makes_no_new_snapshot(desk: Desk, organisation: Organisation) -> None:
    by_password(desk)
    before = desk.office.database.epochs()
    look(desk, 1)
    assert desk.office.database.epochs() == before


def test_who_left_the_directory_loses_everything_and_only_they(desk: Desk, organisation: Organisation) -> None:
    alice, bob = by_password(desk), by_password(desk, "bob")
    signed_in = time.time()
    with desk.office.database.change() as session:
        person = session.exec(select(Person).where(Person.handle == "alice@dir")).one()
        session.add(Delegation(id="d", person=person.id, agent="a", scope="mcp", created_at=1.0, expires_at=9e9))
    del organisation.groups["alice"]
    look(desk, 1)
    assert "Hello" not in alice.get("/").text
    assert "Hello" in bob.get("/").text
    with desk.office.database.read() as session:
        assert session.get_one(Delegation, "d").ended_at is not None
        assert load_cutoffs(session).cuts(Cut.PERSON, person.id, signed_in)
        assert [row.handle for row in session.exec(select(Person)) if row.disabled_at] == ["alice@dir"]
    assert [record["person"] for record in desk.records("person.gone")] == ["user:alice@dir"]


def test_who_comes_back_to_the_directory_signs_in_again_as_the_same(desk: Desk, organisation: Organisation) -> None:
    by_password(desk)
    del organisation.groups["alice"]
    look(desk, 1)
    organisation.groups["alice"] = ["devs"]
    assert "Hello" in by_password(desk).get("/").text
    with desk.office.database.read() as session:
        assert len(session.exec(select(Person)).all()) == 1


def test_who_an_administrator_disabled_is_not_enabled_by_the_directory(desk: Desk, organisation: Organisation) -> None:
    by_password(desk)
    with desk.office.database.change() as session:
        session.exec(select(Person)).one().disabled_at = 1.0
    look(desk, 1)
    fields = {"handle": "alice", "password": "directory password"}
    assert desk.browser().post("/signin/dir", seen="/signin/dir", **fields).status_code == 403


def test_a_directory_that_is_down_ends_nobody(desk: Desk, organisation: Organisation) -> None:
    browser = by_password(desk)
    organisation.down = True
    look(desk, 1)
    assert "Hello" in browser.get("/").text


def test_a_directory_that_knows_none_of_its_people_is_taken_for_badly_configured(
    desk: Desk, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    people = ("alice", "bob", "carol")
    organisation.groups |= {"carol": ["devs"]}
    organisation.passwords |= {"carol": "another password"}
    for person in people:
        by_password(desk, person)
    organisation.groups.clear()

    look(desk, HOUR)

    with desk.office.database.read() as session:
        assert not session.exec(select(Person).where(Person.provider == "dir", Person.disabled_at != None)).all()  # noqa: E711
    assert "is its configuration right" in caplog.text


def test_one_process_at_a_time_asks(desk: Desk, organisation: Organisation) -> None:
    by_password(desk)
    first, second = (Refreshing(desk.office, desk.providers) for _ in range(2))
    first.look(time.time())
    second.look(time.time())
    assert organisation.asked.count("survey") == 1
