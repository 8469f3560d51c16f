"""A second factor for passwords of ours, as a browser meets it."""

from __future__ import annotations

import base64
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import select

from authz.people import second_factor
from authz.people.accounts import find_person
from authz.people.second_factor import STEP, code_at
from authz.principals import ADMINS
from authz.tables import BrowserSession, SecondFactor
from gateway.settings import SecondFactor as Wanted
from tests.gateway.pages.desk import PASSWORD, Browser, Desk, open_desk

if TYPE_CHECKING:
    from pathlib import Path

PLACE = "/account/second-factor"


def hidden(text: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found is not None, f"no {name} in the page"
    return found[1]


def key_of(text: str) -> bytes:
    found = re.search(r'data-copy="the key">([A-Z2-7 ]+)<', text)
    assert found is not None
    return base64.b32decode(found[1].replace(" ", ""))


def now_code(key: bytes) -> str:
    return code_at(key, int(time.time() // STEP))


def next_code(key: bytes) -> str:
    """Of the step after this one: it counts already, and still does when this step ends meanwhile."""
    return code_at(key, int(time.time() // STEP) + 1)


def set_up(desk: Desk, browser: Browser) -> tuple[bytes, list[str]]:
    """Sets one up on the account page; the key, and the recovery codes. Uses the code of this step."""
    text = browser.get(PLACE).text
    key = key_of(text)
    fields = {"step": "confirm", "key": hidden(text, "key"), "password": PASSWORD, "code": now_code(key)}
    answer = browser.post(PLACE, seen=PLACE, **fields)
    assert answer.status_code == 200
    return key, re.findall(r"(?:[a-z2-7]{4}-){3}[a-z2-7]{4}", answer.text)


def with_code(browser: Browser, ticket: str, code: str) -> Any:
    return browser.client.post("/signin-code", data={"csrf": browser.csrf("/signin"), "ticket": ticket, "code": code})


@pytest.fixture
def enrolled(desk: Desk) -> tuple[bytes, list[str]]:
    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    return set_up(desk, browser)


def test_rfc_6238_appendix_b_is_computed_as_it_says() -> None:
    key = b"12345678901234567890"
    times = {59: "94287082", 1111111109: "07081804", 1234567890: "89005924", 20000000000: "65353130"}
    assert {at: code_at(key, at // STEP) for at in times} == {at: code[-6:] for at, code in times.items()}


def test_after_it_is_set_up_a_password_alone_signs_nobody_in(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    browser = desk.browser()
    answer = browser.sign_in("alice")
    assert "And your code" in answer.text
    assert "ostiary" not in browser.client.cookies
    assert "Hello" not in browser.get("/").text


def test_password_and_code_sign_in_and_both_are_kept(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    browser = desk.browser()
    ticket = hidden(browser.sign_in("alice", following="/account").text, "ticket")
    answer = with_code(browser, ticket, next_code(enrolled[0]))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert "and a code" in browser.get("/account").text
    with desk.office.database.read() as session:
        assert sorted(row.amr for row in session.exec(select(BrowserSession))) == ["pwd", "pwd otp mfa"]


def test_a_code_counts_once(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    code = next_code(enrolled[0])
    for status in (303, 403):
        browser = desk.browser()
        ticket = hidden(browser.sign_in("alice").text, "ticket")
        assert with_code(browser, ticket, code).status_code == status


@pytest.mark.parametrize("steps", [-2, 2, 100])
def test_a_code_of_another_time_does_not_count(desk: Desk, enrolled: tuple[bytes, list[str]], steps: int) -> None:
    with desk.office.database.read() as session:
        person = find_person(session, "alice").id
    with desk.office.database.change() as session:
        code = code_at(enrolled[0], 10**6 + steps)
        assert not second_factor.matches(session, desk.office.vault, person, code, 10**6 * STEP + 1.0)


def test_a_recovery_code_works_once(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    assert len(set(enrolled[1])) == 10
    for status in (303, 403):
        browser = desk.browser()
        ticket = hidden(browser.sign_in("alice").text, "ticket")
        assert with_code(browser, ticket, enrolled[1][3].upper()).status_code == status
    assert len(desk.records("second_factor.recovery")) == 1


def test_guesses_at_the_code_are_counted_even_with_the_right_password(
    desk: Desk, enrolled: tuple[bytes, list[str]]
) -> None:
    answers = []
    for _ in range(7):
        browser = desk.browser()
        ticket = hidden(browser.sign_in("alice").text, "ticket")
        answers.append(with_code(browser, ticket, "000000").status_code)
    assert answers == [403, 403, 403, 403, 403, 429, 429]


def test_a_ticket_of_another_browser_is_worth_nothing(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    ticket = hidden(desk.browser().sign_in("alice").text, "ticket")
    assert with_code(desk.browser(), ticket, next_code(enrolled[0])).status_code == 403


@pytest.mark.parametrize("ticket", ["", "AAAA", "not base64 ü", "A" * 400])
def test_a_ticket_that_is_made_up_is_worth_nothing(desk: Desk, enrolled: tuple[bytes, list[str]], ticket: str) -> None:
    assert with_code(desk.browser(), ticket, next_code(enrolled[0])).status_code == 403


def test_a_sealed_key_is_no_ticket(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    desk.person("bob")
    browser = desk.browser()
    browser.sign_in("bob")
    sealed = hidden(browser.get(PLACE).text, "key")
    answer = browser.client.post("/signin-code", data={"csrf": browser.csrf("/"), "ticket": sealed, "code": "000000"})
    assert answer.status_code == 403


def test_one_person_cannot_confirm_the_key_of_another(desk: Desk) -> None:
    desk.person("bob")
    desk.person("carol")
    browser, other = desk.browser(), desk.browser()
    other.sign_in("carol")
    text = other.get(PLACE).text
    browser.sign_in("bob")
    fields = {"step": "confirm", "key": hidden(text, "key"), "password": PASSWORD, "code": now_code(key_of(text))}
    assert browser.post(PLACE, seen=PLACE, **fields).status_code == 403


def test_setting_one_up_takes_the_password(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    text = browser.get(PLACE).text
    fields = {"step": "confirm", "key": hidden(text, "key"), "password": "wrong wrong", "code": now_code(key_of(text))}
    answer = browser.post(PLACE, seen=PLACE, **fields)
    assert answer.status_code == 403
    assert key_of(answer.text) == key_of(text)
    with desk.office.database.read() as session:
        assert not session.exec(select(SecondFactor)).all()


def test_it_is_taken_away_with_a_code_of_it(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    browser = desk.browser()
    with_code(browser, hidden(browser.sign_in("alice").text, "ticket"), enrolled[1][0])
    assert browser.post(PLACE, seen=PLACE, code="000000").status_code == 403
    assert browser.post(PLACE, seen=PLACE, code=next_code(enrolled[0])).status_code == 303
    assert desk.browser().sign_in("alice").status_code == 303


def test_its_secret_and_codes_are_nowhere_to_be_read(desk: Desk, enrolled: tuple[bytes, list[str]]) -> None:
    secrets = [base64.b32encode(enrolled[0]), enrolled[0], *(code.encode() for code in enrolled[1])]
    for file in [*desk.settings.data.glob("ostiary.db*"), *(desk.settings.data / "journal").rglob("*.jsonl")]:
        content = file.read_bytes()
        assert not [secret for secret in secrets if secret in content]


@pytest.mark.parametrize(
    ("setting", "handle", "asked"),
    [
        ("admins", "root", True),
        ("admins", "by-group", True),
        ("admins", "alice", False),
        ("everyone", "alice", True),
        ("optional", "root", False),
    ],
)
def test_whoever_must_have_one_sets_it_up_before_anything_else(
    tmp_path: Path, setting: str, handle: str, *, asked: bool
) -> None:
    desk = open_desk(tmp_path, second_factor=Wanted(setting))
    desk.person("alice")
    desk.person("root", admin=True)
    desk.group(ADMINS)
    desk.person("by-group", ADMINS)
    browser = desk.browser()
    answer = browser.sign_in(handle, following="/account")
    assert ("It is wanted for your account" in answer.text) == asked
    if asked:
        assert "Hello" not in browser.get("/").text
        ticket, sealed, key = hidden(answer.text, "ticket"), hidden(answer.text, "key"), key_of(answer.text)
        fields = {"csrf": browser.csrf("/signin"), "step": "confirm", "ticket": ticket, "key": sealed}
        wrong = browser.client.post("/signin-code", data=fields | {"code": "000000"})
        assert wrong.status_code == 403
        right = browser.client.post("/signin-code", data=fields | {"code": now_code(key)})
        assert 'href="/account"' in right.text
        assert "and a code" in browser.get("/account").text
    desk.office.close()
