"""T-24, T-25, T-84 and T-93 where people sign in with an identity provider."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import select

from authz.people import departures
from authz.tables import BrowserSession, ForeignSession, PendingSignIn, Person, Provider
from gateway.background.sweep import sweep
from gateway.identity.equipment import owner_of
from registry.database import Concern
from tests.fakes.providers.identity import fake_kinds
from tests.gateway.oauth.house import House, answer_of, pkce
from tests.gateway.pages.desk import Browser, Desk, open_desk
from tests.hostile.canaries import canary, everything_in, found

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.providers.identity import Organisation

AWAY = "ostiary-away"
WORDS = {name: canary(f"i{at}") for at, name in enumerate(("secret", "password", "code", "kept", "said", "token"))}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    with opened.office.database.change(Concern.PEOPLE) as session:
        for slug, kind in (("one", "away"), ("two", "away"), ("dir", "ask")):
            session.add(Provider(slug=slug, kind=kind))
            opened.office.vault.seal(session, owner_of(slug), "client_secret", WORDS["secret"].encode())
            session.flush()
    yield opened
    opened.office.close()


@pytest.fixture
def organisation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    made = fake_kinds(monkeypatch)
    made.groups |= {"alice": []}
    return made


def depart(browser: Browser, slug: str = "one") -> str:
    return parse_qs(urlsplit(browser.get(f"/signin/{slug}").headers["location"]).query)["state"][0]


def come_back(browser: Browser, state: str, slug: str = "one", **more: str) -> Any:
    return browser.get(f"/signin/{slug}/callback", params={"state": state, "code": "alice", **more})


def assert_nothing_happened(desk: Desk, organisation: Organisation, answer: Any) -> None:
    assert answer.status_code == 400
    assert f'{AWAY}="";' in answer.headers["set-cookie"]
    assert "Max-Age=0" in answer.headers["set-cookie"]
    with desk.office.database.read() as session:
        assert not session.exec(select(BrowserSession)).all()
        assert not session.exec(select(Person)).all()
    assert not [asked for asked in organisation.asked if asked.startswith("arrive")]


def test_t_24_a_state_of_another_browser_signs_nobody_in(desk: Desk, organisation: Organisation) -> None:
    victim, attacker = desk.browser(), desk.browser()
    depart(victim)
    assert_nothing_happened(desk, organisation, come_back(victim, depart(attacker)))


def test_t_24_a_state_in_a_browser_that_never_left_signs_nobody_in(desk: Desk, organisation: Organisation) -> None:
    assert_nothing_happened(desk, organisation, come_back(desk.browser(), depart(desk.browser())))


def test_t_24_a_state_that_was_presented_in_the_wrong_browser_is_spent(desk: Desk, organisation: Organisation) -> None:
    owner = desk.browser()
    state = depart(owner)
    come_back(desk.browser(), state)
    assert_nothing_happened(desk, organisation, come_back(owner, state))


def test_t_24_a_state_counts_once(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    state = depart(browser)
    seed = browser.client.cookies[AWAY]
    assert come_back(browser, state).status_code == 303
    browser.client.cookies.set(AWAY, seed)
    assert come_back(browser, state).status_code == 400
    assert organisation.asked.count("arrive GET") == 1


@pytest.mark.parametrize("after", [601, 3600])
def test_t_24_a_state_is_too_old_after_ten_minutes(
    desk: Desk, organisation: Organisation, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    browser = desk.browser()
    state = depart(browser)
    with desk.office.database.change() as session:
        session.exec(select(PendingSignIn)).one().expires_at -= after
    assert_nothing_happened(desk, organisation, come_back(browser, state))


@pytest.mark.parametrize("state", ["", "made-up", "0" * 64, "a" * 4000])
def test_t_24_a_state_that_nobody_was_given_signs_nobody_in(desk: Desk, organisation: Organisation, state: str) -> None:
    browser = desk.browser()
    depart(browser)
    assert_nothing_happened(desk, organisation, come_back(browser, state))


def test_t_24_an_answer_without_a_state_signs_nobody_in(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    depart(browser)
    assert_nothing_happened(desk, organisation, browser.get("/signin/one/callback", params={"code": "alice"}))


def test_t_24_a_ticket_is_fetched_by_its_own_browser_within_a_minute_and_once(
    desk: Desk, organisation: Organisation
) -> None:
    def parked(browser: Browser) -> str:
        form = {"RelayState": depart(browser), "code": "alice"}
        return str(desk.browser().client.post("/signin/one/callback", data=form).headers["location"])

    browser = desk.browser()
    assert_nothing_happened(desk, organisation, desk.browser().get(parked(browser)))
    late = parked(browser)
    with desk.office.database.change() as session:
        for row in session.exec(select(PendingSignIn)):
            row.expires_at -= departures.TICKET_LIFE + 1
    assert_nothing_happened(desk, organisation, browser.get(late))


def test_t_24_a_posted_answer_cannot_be_finished_with_its_state(desk: Desk, organisation: Organisation) -> None:
    """The provider knows the state; what was parked is for the ticket alone."""
    browser = desk.browser()
    state = depart(browser)
    desk.browser().client.post("/signin/one/callback", data={"RelayState": state, "code": "alice"})
    assert_nothing_happened(desk, organisation, come_back(browser, state))


def test_t_24_what_was_changed_in_the_table_leads_nowhere(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    first, second = depart(browser), depart(browser)
    with desk.office.database.change() as session:
        rows = session.exec(select(PendingSignIn)).all()
        rows[0].kept, rows[1].kept = rows[1].kept, rows[0].kept
    for state in (first, second):
        assert_nothing_happened(desk, organisation, come_back(browser, state))


def test_t_24_nothing_is_kept_of_what_strangers_post(desk: Desk, organisation: Organisation) -> None:
    answer = desk.browser().client.post("/signin/one/callback", data={"RelayState": "x", "SAMLResponse": "y" * 60000})
    assert answer.status_code == 400
    with desk.office.database.read() as session:
        assert not session.exec(select(PendingSignIn)).all()


def test_t_24_signing_in_replaces_the_session_that_was_planted(desk: Desk, organisation: Organisation) -> None:
    planted, victim = desk.browser(), desk.browser()
    come_back(planted, depart(planted))
    cookie = planted.client.cookies["ostiary"]
    answer = come_back(victim.holding(cookie), depart(victim))
    assert answer.headers["set-cookie"].startswith("ostiary=")
    assert cookie not in answer.headers["set-cookie"]
    assert "Hello" not in planted.get("/").text


@pytest.mark.parametrize("post", [False, True])
def test_t_25_an_answer_of_one_provider_is_not_heard_at_the_address_of_another(
    desk: Desk, organisation: Organisation, *, post: bool
) -> None:
    browser = desk.browser()
    state = depart(browser, "one")
    if post:
        answer = browser.client.post("/signin/two/callback", data={"RelayState": state, "code": "alice"})
    else:
        answer = come_back(browser, state, "two")
    assert_nothing_happened(desk, organisation, answer)


def test_t_25_a_ticket_of_one_provider_is_not_taken_by_another(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    form = {"RelayState": depart(browser, "one"), "code": "alice"}
    there = browser.client.post("/signin/one/callback", data=form).headers["location"]
    assert_nothing_happened(desk, organisation, browser.get(there.replace("/one/", "/two/")))


def test_t_25_what_a_provider_says_of_an_error_is_not_shown(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    answer = come_back(browser, depart(browser), error="access_denied", error_description="call 555-EVIL")
    assert answer.status_code == 403
    assert "EVIL" not in answer.text + desk.journal_text()


def test_t_25_a_parameter_that_came_twice_is_heard_by_no_provider(desk: Desk, organisation: Organisation) -> None:
    browser = desk.browser()
    state = depart(browser)
    answer = browser.get(f"/signin/one/callback?state={state}&code=alice&code=bob")
    assert answer.status_code == 400
    assert not [asked for asked in organisation.asked if asked.startswith("arrive")]


def test_t_84_a_logout_at_the_provider_ends_browsers_refresh_and_access_tokens_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_kinds(monkeypatch).groups |= {"alice": []}
    with House(tmp_path) as house, house.browser() as browser, house.http() as stranger:
        with house.office.database.change(Concern.PEOPLE) as session:
            session.add(Provider(slug="corp", kind="away"))
        left = browser.http.get("/signin/corp")
        state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
        assert browser.http.get("/signin/corp/callback", params={"state": state, "code": "alice"}).status_code == 303
        client, proof = house.client(), pkce()
        code = answer_of(browser.consent(client, proof))["code"]
        tokens = house.redeem(client, code, proof).json()
        unused = answer_of(browser.authorize(client, proof))["code"]
        house.until_call(tokens["access_token"], 200)
        told = stranger.post("/signin/corp/logout", data={"logout_token": "signed:subject-of-alice/sid-1"})
        assert told.status_code == 200
        house.until_call(tokens["access_token"], 401)
        assert house.refresh(client, tokens["refresh_token"]).status_code == 400
        assert house.redeem(client, unused, proof).status_code == 400
        assert browser.http.get("/account").headers["location"].startswith("/signin")


def test_t_93_no_secret_of_a_sign_in_is_written_or_shown(
    desk: Desk, organisation: Organisation, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx2")  # the browser's own
    organisation.groups[WORDS["kept"]] = []  # the adapter keeps the name, as another would keep a refresh token
    organisation.passwords["alice"] = WORDS["password"]
    shown = []
    for more in ({}, {"error": WORDS["said"], "error_description": WORDS["said"]}):
        browser = desk.browser()
        shown.append(come_back(browser, depart(browser), code=WORDS["code"], **more).text)
        shown.append(come_back(browser, WORDS["code"]).text)
    for down in (False, True):
        organisation.down = down
        browser = desk.browser()
        for password in (WORDS["password"], WORDS["password"] + "x"):
            fields = {"handle": "alice", "password": password}
            shown.append(browser.client.post("/signin/dir", data=fields | {"csrf": browser.csrf("/signin/dir")}).text)
        shown.append(desk.browser().client.post("/signin/one/logout", data={"logout_token": WORDS["token"]}).text)
    shown.append(repr(desk.providers.get("one")) + repr(desk.providers.get("one").adapter.equipment))  # type: ignore[attr-defined]
    written = everything_in(desk.settings.data, but=("keys",)) + caplog.text.encode() + "".join(shown).encode()
    assert found(WORDS, written) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/signin/one/callback?state=made-up&code=alice"),
        ("GET", "/signin/one/callback"),
        ("POST", "/signin/one/callback"),
        ("GET", "/signin/one/finish?ticket=made-up"),
    ],
)
def test_t_24_an_answer_that_was_made_up_holds_nobody_up_who_writes(
    desk: Desk, organisation: Organisation, method: str, path: str
) -> None:
    form = {"RelayState": "made-up"} if method == "POST" else None
    with desk.office.database.change():
        answer = desk.browser().client.request(method, path, data=form)

    assert_nothing_happened(desk, organisation, answer)


def test_t_84_a_client_that_was_connected_at_the_end_of_a_session_is_still_known_to_come_of_it(
    desk: Desk, organisation: Organisation
) -> None:
    browser, settings = desk.browser(), desk.settings
    come_back(browser, depart(browser))

    sweep(desk.office, time.time() + settings.session_life + settings.refresh_life - 60)

    with desk.office.database.read() as session:
        assert session.exec(select(ForeignSession.provider)).all() == ["one"]
