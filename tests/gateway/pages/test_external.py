"""Signing in with an identity provider, as a browser meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import select

from authz.people.accounts import add_group
from authz.tables import BrowserSession, ClaimMapping, ForeignSession, Membership, Person, Provider
from gateway.oauth.browser.stepping_up import AGAIN
from gateway.rendezvous import RendezvousDown
from gateway.snapshots import Snapshots
from idp_adapters.contract import IdentityRefused
from registry.database import Concern
from tests.fakes.providers.identity import fake_kinds

if TYPE_CHECKING:
    from tests.fakes.providers.identity import Organisation
    from tests.gateway.pages.desk import Browser, Desk


@pytest.fixture
def organisation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    found = fake_kinds(monkeypatch)
    found.groups |= {"alice": ["devs"], "bob": []}
    found.passwords |= {"alice": "directory password", "bob": "another password"}
    with desk.office.database.change(Concern.PEOPLE) as session:
        session.add(Provider(slug="corp", kind="away", title="Corp", domains=["corp.example"]))
        session.add(Provider(slug="other", kind="away", title="Other"))
        session.add(Provider(slug="dir", kind="ask", title="Directory", domains=["dir.example"]))
        add_group(session, "developers")
        session.add(ClaimMapping(provider="corp", claim="groups", value="devs", group="developers"))
    return found


def depart(browser: Browser, slug: str = "corp", following: str = "/") -> str:
    answer = browser.get(f"/signin/{slug}", params={"next": following})
    assert answer.status_code == 303
    return parse_qs(urlsplit(answer.headers["location"]).query)["state"][0]


def sign_in(browser: Browser, person: str = "alice", slug: str = "corp", following: str = "/") -> Any:
    state = depart(browser, slug, following)
    return browser.get(f"/signin/{slug}/callback", params={"state": state, "code": person})


def test_the_page_offers_every_provider_and_the_form_of_our_own(desk: Desk, organisation: Organisation) -> None:
    text = desk.browser().get("/signin?next=/x").text
    assert 'href="/signin/corp?next=/x"' in text
    assert ">Directory<" in text
    assert 'name="password"' in text


def test_whoever_has_to_sign_in_once_more_is_to_prove_it_anew_there(desk: Desk, organisation: Organisation) -> None:
    depart(desk.browser(), following=f"/oauth/authorize?client_id=x&{AGAIN}=1")
    depart(desk.browser(), following="/oauth/authorize?client_id=x")

    assert [asked.endswith(" again") for asked in organisation.asked if asked.startswith("depart")] == [True, False]


def test_somebody_comes_back_from_a_provider_signed_in(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    answer = sign_in(browser, following="/account/password")
    assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")
    assert "Hello, Alice" in browser.get("/").text
    assert [record["who"] for record in desk.records("signin")] == ["user:alice@corp"]
    assert organisation.asked == ["depart http://127.0.0.1:8080/signin/corp/callback", "arrive GET"]


def test_the_groups_of_a_sign_in_are_mapped_and_end_with_it(desk: Desk, organisation: Organisation) -> None:
    sign_in(desk.browser())
    with desk.office.database.read() as session:
        row = session.exec(select(Membership)).one()
        begun = session.exec(select(BrowserSession)).one().created_at
    assert (row.group, row.mapped) == ("developers", True)
    assert row.until == pytest.approx(begun + desk.settings.session_life, abs=5)
    organisation.groups["alice"] = []
    sign_in(desk.browser())
    with desk.office.database.read() as session:
        assert not session.exec(select(Membership)).all()


def test_the_first_page_already_knows_the_groups_that_somebody_came_with(
    desk: Desk, organisation: Organisation
) -> None:
    desk.snapshots = Snapshots(desk.office)
    sign_in(desk.browser())
    assert [set(member.groups) for member in desk.snapshots.current.members.values()] == [{"developers"}]


def test_the_record_says_which_groups_a_provider_named_and_what_became_of_them(
    desk: Desk, organisation: Organisation
) -> None:
    organisation.groups["alice"] = ["devs", "Developers"]
    sign_in(desk.browser())
    (record,) = desk.records("signin")
    assert (record["groups"], record["said"]) == (["developers"], ["Developers", "devs"])


def test_the_same_person_stays_the_same_whatever_they_are_called(desk: Desk, organisation: Organisation) -> None:
    sign_in(desk.browser())
    with desk.office.database.change() as session:
        session.exec(select(Person)).one().subject = "subject-of-bob"
    sign_in(desk.browser(), "bob")
    with desk.office.database.read() as session:
        assert [person.handle for person in session.exec(select(Person))] == ["alice@corp"]


def test_how_somebody_proved_who_they_are_is_kept(desk: Desk, organisation: Organisation) -> None:
    organisation.amr, organisation.acr, organisation.ago = ("pwd", "mfa"), "high", 900.0
    sign_in(desk.browser())
    with desk.office.database.read() as session:
        row = session.exec(select(BrowserSession)).one()
    assert (row.amr, row.acr) == ("pwd mfa", "high")
    assert row.auth_time == pytest.approx(row.created_at - 900, abs=5)


def test_what_a_provider_says_of_the_future_counts_as_now(desk: Desk, organisation: Organisation) -> None:
    organisation.ago = -5000.0
    sign_in(desk.browser())
    with desk.office.database.read() as session:
        row = session.exec(select(BrowserSession)).one()
    assert row.auth_time == row.created_at


def test_an_address_of_a_domain_leads_to_its_provider(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    answer = browser.sign_in("alice@corp.example", "", following="/x?y=z")
    assert answer.status_code == 200
    assert 'content="0;url=/signin/corp?next=%2Fx%3Fy%3Dz"' in answer.text


def test_a_provider_that_posts_its_answer_is_heard_in_the_browser_that_left(
    desk: Desk, organisation: Organisation
) -> None:
    browser = desk.browser()
    state = depart(browser)
    elsewhere = desk.browser()  # the post of another site comes without our cookies
    posted = elsewhere.client.post("/signin/corp/callback", data={"RelayState": state, "code": "alice"})
    assert posted.status_code == 303
    assert "Hello, Alice" not in elsewhere.get("/").text
    finished = browser.get(posted.headers["location"])
    assert finished.status_code == 303
    assert "Hello, Alice" in browser.get("/").text
    assert organisation.asked[-1] == "arrive POST"
    assert browser.get(posted.headers["location"]).status_code == 400


def test_a_provider_that_wants_a_form_gets_one_that_may_lead_there(desk: Desk, organisation: Organisation) -> None:
    with desk.office.database.change() as session:
        session.get_one(Provider, "corp").config = {"as_form": True}
    answer = desk.browser().get("/signin/corp")
    assert 'action="https://idp.example/sso"' in answer.text
    assert "form-action 'self' https://idp.example" in answer.headers["content-security-policy"]


def test_a_directory_is_asked_with_the_password_of_its_form(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    fields = {"handle": "alice", "password": "directory password"}
    assert browser.post("/signin/dir", seen="/signin/dir", **fields).status_code == 303
    assert "alice@dir" in browser.get("/").text


def test_an_address_of_a_directorys_domain_is_asked_there(desk: Desk, organisation: Organisation) -> None:
    assert desk.browser().sign_in("alice@dir.example", "directory password").status_code == 303
    assert desk.browser().sign_in("alice@dir.example", "wrong").status_code == 403


def test_guesses_at_a_directory_are_counted_like_others(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    answers = [
        browser.post("/signin/dir", seen="/signin/dir", handle="alice", password="wrong").status_code for _ in range(7)
    ]
    assert answers == [403, 403, 403, 403, 403, 429, 429]
    assert organisation.asked.count("authenticate") == 5


def test_a_directory_that_is_down_costs_nobody_an_attempt(desk: Desk, organisation: Organisation) -> None:
    organisation.down = True
    browser = desk.browser()
    fields = {"handle": "alice", "password": "directory password"}
    for _ in range(7):
        assert browser.post("/signin/dir", seen="/signin/dir", **fields).status_code == 503
    organisation.down = False
    assert browser.post("/signin/dir", seen="/signin/dir", **fields).status_code == 303


def test_a_provider_that_is_down_says_so_and_signs_nobody_in(desk: Desk, organisation: Organisation) -> None:
    organisation.down = True
    answer = desk.browser().get("/signin/corp")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


def test_who_an_administrator_disabled_does_not_come_in_by_another_door(desk: Desk, organisation: Organisation) -> None:
    sign_in(desk.browser())
    with desk.office.database.change() as session:
        session.exec(select(Person)).one().disabled_at = 1.0
    answer = sign_in(desk.browser())
    assert answer.status_code == 403
    assert "switched off" in answer.text


def test_a_second_provider_of_the_same_issuer_is_not_believed_about_the_firsts_people(
    desk: Desk, organisation: Organisation
) -> None:
    sign_in(desk.browser())
    assert sign_in(desk.browser(), slug="other").status_code == 403


def test_a_provider_that_is_disabled_or_not_there_does_not_exist(desk: Desk, organisation: Organisation) -> None:
    with desk.office.database.change() as session:
        session.get_one(Provider, "corp").disabled_at = 1.0
    assert desk.browser().get("/signin/corp").status_code == 404
    assert desk.browser().get("/signin/nothing").status_code == 404
    assert "/signin/corp" not in desk.browser().get("/signin").text


def test_signing_out_leads_to_the_provider_too(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    sign_in(browser)
    answer = browser.post("/signout", seen="/")
    assert "url=https://idp.example/logout?hint=alice" in answer.text
    assert "Hello" not in browser.get("/").text
    assert browser.get("/signin/corp/logout?state=x").headers["location"] == "/"


def test_a_session_that_ends_at_the_provider_ends_here_and_no_other(desk: Desk, organisation: Organisation) -> None:
    here, there = desk.browser(), desk.browser()
    sign_in(here)
    sign_in(there)
    told = desk.browser().client.post("/signin/corp/logout", data={"logout_token": "signed:subject-of-alice/sid-1"})
    assert told.status_code == 200
    assert "Hello" not in here.get("/").text
    assert "Hello" in there.get("/").text


def test_all_sessions_of_a_person_end_when_the_provider_names_none(desk: Desk, organisation: Organisation) -> None:
    here, other = desk.browser(), desk.browser()
    sign_in(here)
    sign_in(other, "bob")
    desk.browser().client.post("/signin/corp/logout", data={"logout_token": "signed:subject-of-alice/"})
    assert "Hello" not in here.get("/").text
    assert "Hello" in other.get("/").text


@pytest.mark.parametrize("token", ["forged:subject-of-alice/", "signed:/", "signed:nobody/", "signed:/sid-99"])
def test_nothing_ends_by_a_logout_token_that_names_nobody_here(
    desk: Desk, organisation: Organisation, token: str
) -> None:
    browser = desk.browser()
    sign_in(browser)
    desk.browser().client.post("/signin/corp/logout", data={"logout_token": token})
    assert "Hello" in browser.get("/").text


def test_a_provider_cannot_end_sessions_of_another(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    sign_in(browser)
    desk.browser().client.post("/signin/other/logout", data={"logout_token": "signed:subject-of-alice/"})
    assert "Hello" in browser.get("/").text


def test_what_a_provider_gave_to_keep_is_stored_sealed(desk: Desk, organisation: Organisation) -> None:
    sign_in(desk.browser())
    with desk.office.database.read() as session:
        row = session.exec(select(ForeignSession)).one()
    assert row.keep
    assert b"alice sid" not in row.keep


def test_an_administrator_by_a_group_of_a_provider_is_one_for_no_longer_than_the_group(
    desk: Desk, organisation: Organisation
) -> None:
    with desk.office.database.change(Concern.PEOPLE) as session:
        add_group(session, "ostiary-admins")
        session.add(ClaimMapping(provider="corp", claim="groups", value="devs", group="ostiary-admins"))
    browser = desk.browser()
    sign_in(browser)
    assert browser.get("/admin/servers").status_code == 200
    with desk.office.database.change(Concern.PEOPLE) as session:
        for row in session.exec(select(Membership)):
            row.until = 1.0
    assert "Hello" in browser.get("/").text
    assert browser.get("/admin/servers").status_code == 404


def test_people_of_a_provider_have_no_password_and_no_second_factor_here(
    desk: Desk, organisation: Organisation
) -> None:
    browser = desk.browser()
    sign_in(browser)
    text = browser.get("/account").text
    assert "With Corp" in text
    assert "/account/password" not in text
    assert browser.get("/account/password").headers["location"] == "/account"
    assert browser.get("/account/second-factor").status_code == 404


def test_one_address_begins_so_many_sign_ins_in_a_minute(
    desk: Desk, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.pages.signing_in.external.PER_MINUTE", 3)
    assert [desk.browser().get("/signin/corp").status_code for _ in range(5)] == [303, 303, 303, 429, 429]


def test_where_nobody_can_count_nobody_departs(
    desk: Desk, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> int:
        raise RendezvousDown

    monkeypatch.setattr("gateway.pages.signing_in.external.count", down)
    assert desk.browser().get("/signin/corp").status_code == 503


def test_signing_out_works_although_what_was_kept_opens_no_more(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    sign_in(browser)
    with desk.office.database.change() as session:
        session.exec(select(ForeignSession)).one().keep = b"something else"
    assert browser.post("/signout", seen="/").headers["location"] == "/"
    assert "Hello" not in browser.get("/").text


def test_a_refusal_of_a_provider_is_read_as_a_sentence(
    desk: Desk, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise IdentityRefused("id_token", "the answer is not valid here; sign in again")

    monkeypatch.setattr("tests.fakes.providers.identity.Away.arrive", refuse)
    answer = sign_in(desk.browser())
    assert answer.status_code == 403
    assert "The answer is not valid here; sign in again.</p>" in answer.text
