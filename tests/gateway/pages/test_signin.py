"""Signing in and out, as a browser meets it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from authz.people.throttle import ACCOUNT_LIMIT
from gateway.pages.gate import own_path
from tests.gateway.pages.desk import PASSWORD, open_desk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gateway.pages.desk import Desk


def test_a_person_signs_in_and_is_greeted(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    answer = browser.sign_in("alice")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "Hello, alice" in browser.get("/").text
    assert [record["who"] for record in desk.records("signin")] == ["user:alice"]


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(desk: Desk) -> None:
    desk.person("alice")
    cookie = desk.browser().sign_in("alice").headers["set-cookie"]
    assert cookie.startswith("ostiary=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie


def test_over_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    desk = open_desk(tmp_path, public_url="https://mcp.example.com")
    desk.person("alice")
    cookies = desk.browser().sign_in("alice").headers.get_list("set-cookie")
    session = next(cookie for cookie in cookies if cookie.startswith("__Host-ostiary="))
    assert "Secure" in session
    assert "Path=/" in session
    assert "Domain" not in session
    desk.office.close()


def test_only_a_digest_of_the_cookie_is_stored(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    token = browser.client.cookies["ostiary"]
    for file in desk.settings.data.glob("ostiary.db*"):
        assert token.encode() not in file.read_bytes()


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    wrong, unknown = browser.sign_in("alice", "not the password"), browser.sign_in("nobody", "not the password")
    assert wrong.status_code == unknown.status_code == 403
    assert _normal(wrong.text, "alice") == _normal(unknown.text, "nobody")


def _normal(text: str, handle: str) -> str:
    return text.replace(handle, "somebody")


def test_what_is_typed_as_an_unknown_name_is_not_recorded(desk: Desk) -> None:
    desk.browser().sign_in("hunter2-my-password", "x")
    assert [record["who"] for record in desk.records("signin.refused")] == ["nobody"]
    assert "hunter2" not in desk.journal_text()


def test_a_disabled_person_is_refused_like_anybody_else(desk: Desk) -> None:
    from authz.people.accounts import disable_person, find_person

    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    with desk.office.database.change() as session:
        disable_person(session, find_person(session, "alice"), 1.0)
    assert "Hello" not in browser.get("/").text
    assert desk.browser().sign_in("alice").status_code == 403


def test_five_failures_pause_an_account_and_say_for_how_long(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    for _ in range(ACCOUNT_LIMIT):
        assert browser.sign_in("alice", "wrong wrong").status_code == 403
    paused = browser.sign_in("alice")
    assert paused.status_code == 429
    assert int(paused.headers["retry-after"]) > 0
    assert "Wait" in paused.text


def test_signing_out_ends_the_session_itself(desk: Desk) -> None:
    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    token = browser.client.cookies["ostiary"]
    browser.post("/signout", seen="/")
    assert "Hello" not in browser.holding(token).get("/").text


def test_signing_in_again_replaces_the_session_that_the_browser_had(desk: Desk) -> None:
    desk.person("alice")
    desk.person("bob")
    browser = desk.browser()
    browser.sign_in("alice")
    planted = browser.client.cookies["ostiary"]
    browser.client.post(
        "/signin", data={"csrf": browser.csrf("/account/password"), "handle": "bob", "password": PASSWORD}
    )
    assert browser.client.cookies["ostiary"] != planted
    assert "Hello, bob" in browser.get("/").text
    assert "Hello" not in browser.holding(planted).get("/").text


def test_a_sign_in_for_a_client_goes_on_through_a_page(desk: Desk) -> None:
    desk.person("alice")
    following = "/oauth/authorize?client_id=x&state=a%22b"
    answer = desk.browser().sign_in("alice", following=following)
    assert answer.status_code == 200
    assert 'http-equiv="refresh" content="0;url=/oauth/authorize?client_id=x&amp;state=a%22b"' in answer.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\nb",
        "",
        "evil",
        "/\t/x",
    ],
)
def test_after_signing_in_one_stays_with_us(elsewhere: str) -> None:
    assert own_path(elsewhere) == "/"


def test_own_paths_are_kept_as_they_are() -> None:
    assert own_path("/oauth/authorize?a=b&c=%2F") == "/oauth/authorize?a=b&c=%2F"


def test_a_person_changes_the_password_and_other_browsers_are_signed_out(desk: Desk) -> None:
    desk.person("alice")
    here, there = desk.browser(), desk.browser()
    here.sign_in("alice")
    there.sign_in("alice")
    fields = {"current": PASSWORD, "password": "another long one", "again": "another long one"}
    assert "is changed" in here.post("/account/password", seen="/account/password", **fields).text
    assert "Hello" in here.get("/").text
    assert "Hello" not in there.get("/").text
    assert desk.browser().sign_in("alice", "another long one").status_code == 303
    assert desk.browser().sign_in("alice").status_code == 403


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"current": "wrong wrong", "password": "another long one", "again": "another long one"}, "not your present"),
        ({"current": PASSWORD, "password": "another long one", "again": "another long two"}, "differ"),
        ({"current": PASSWORD, "password": "short", "again": "short"}, "10 to 256"),
        ({"current": PASSWORD, "password": "alice-alice", "again": "alice-alice"}, "little more than the name"),
    ],
)
def test_a_change_of_password_that_cannot_be_says_why(desk: Desk, fields: dict[str, str], text: str) -> None:
    desk.person("alice")
    browser = desk.browser()
    browser.sign_in("alice")
    answer = browser.post("/account/password", seen="/account/password", **fields)
    assert answer.status_code in {400, 403}
    assert text in answer.text
    assert desk.browser().sign_in("alice").status_code == 303


def test_a_browser_that_is_used_stays_signed_in_and_one_that_is_not_does_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.person("ann")
    used, unused = desk.browser(), desk.browser()
    for browser in (used, unused):
        browser.sign_in("ann")
    begun, idle = time.time(), desk.settings.session_life / 4
    for step in range(1, 4):
        monkeypatch.setattr(time, "time", lambda step=step: begun + step * 0.6 * idle)
        assert used.get("/account/password").status_code == 200
    assert unused.get("/account/password").status_code == 303
