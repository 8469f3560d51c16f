"""Pages framed by others, forms sent by others, and a browser signed in by somebody else (T-24, T-28, T-96)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from authz.tables import BrowserSession
from tests.gateway.pages.desk import PASSWORD, Desk, open_desk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.pages.desk import Browser

PAGES = ("/", "/signin", "/account/password", "/admin/servers", "/setup/x", "/connect", "/nothing-here")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = open_desk(tmp_path)
    opened.person("alice", admin=True)
    yield opened
    opened.office.close()


@pytest.fixture
def browser(desk: Desk) -> Browser:
    found = desk.browser()
    found.sign_in("alice")
    return found


@pytest.mark.parametrize("path", PAGES)
def test_t_28_no_page_can_be_framed_or_run_what_is_not_ours(desk: Desk, browser: Browser, path: str) -> None:
    headers = _visitor(desk, browser, path).get(path).headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", PAGES)
def test_t_28_no_page_has_inline_script_or_style_or_asks_another_host(desk: Desk, browser: Browser, path: str) -> None:
    text = _visitor(desk, browser, path).get(path).text
    assert "<style" not in text
    assert " style=" not in text
    assert text.count("<script") == text.count('<script src="/assets/') == 1
    assert not any(f'{attribute}="http' in text for attribute in ("src", "action", "href"))


def _visitor(desk: Desk, browser: Browser, path: str) -> Browser:
    return desk.browser() if path == "/signin" else browser  # whoever is signed in is sent on from there


FORMS = (
    "/signin", "/signout", "/account/password", "/account/clients/revoke", "/connect", "/connect/notes",
    "/connect/notes/value", "/connect/notes/end", "/connect/notes/shared", "/connect/notes/shared/end",
)  # fmt: skip


@pytest.mark.parametrize("path", FORMS)
def test_t_28_a_form_without_its_token_is_refused(browser: Browser, path: str) -> None:
    assert browser.client.post(path, data={"handle": "alice", "password": PASSWORD}).status_code == 403
    assert "Hello, alice" in browser.get("/").text


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_t_28_a_form_from_another_origin_is_refused(browser: Browser, path: str, headers: dict[str, str]) -> None:
    assert browser.post(path, seen="/", headers=headers, client="x").status_code == 403
    assert "Hello, alice" in browser.get("/").text


def test_t_24_a_form_of_another_browser_signs_nobody_in_here(desk: Desk) -> None:
    """Login CSRF: the attacker's own valid form, sent by the victim's browser."""
    attacker, victim = desk.browser(), desk.browser()
    theirs = attacker.csrf("/signin")
    victim.get("/signin")
    answer = victim.client.post("/signin", data={"csrf": theirs, "handle": "alice", "password": PASSWORD})
    assert answer.status_code == 403
    assert "ostiary" not in victim.client.cookies
    with desk.office.database.read() as session:
        assert session.exec(select(BrowserSession)).first() is None


def test_t_24_a_form_that_was_sent_before_signing_in_is_spent_after_it(desk: Desk) -> None:
    browser = desk.browser()
    before = browser.csrf("/signin")
    browser.sign_in("alice")
    assert browser.client.post("/signout", data={"csrf": before}).status_code == 403


def test_t_28_a_field_given_twice_is_refused(browser: Browser) -> None:
    body = f"csrf={browser.csrf('/')}&client=a&client=b"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/account/clients/revoke", content=body, headers=headers).status_code == 400


@pytest.mark.parametrize("body", [b"a=%00", b"a=%ff", b"a=\xc3", b"a&b", b"a=1&&", b"&".join([b"a=1"] * 12_000)])
def test_t_28_a_form_that_no_browser_sends_is_refused(browser: Browser, body: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    assert browser.client.post("/signin", content=body, headers=headers).status_code == 400


def test_t_28_a_form_that_is_too_large_is_not_read(browser: Browser) -> None:
    answer = browser.client.post("/signin", content=b"a=" + b"x" * 70_000)
    assert answer.status_code == 413


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", "application/json", ""])
def test_t_28_only_urlencoded_forms_are_read(browser: Browser, kind: str) -> None:
    assert browser.client.post("/signin", content=b"a=b", headers={"content-type": kind}).status_code == 415


@pytest.mark.parametrize("path", ["/admin/servers", "/admin/servers/notes"])
def test_t_96_a_token_opens_no_admin_page(desk: Desk, path: str) -> None:
    answer = desk.browser().get(path, headers={"authorization": "Bearer eyJ.eyJ.x"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/admin/servers", "/admin/servers/notes"])
def test_t_96_for_a_person_who_is_no_admin_the_pages_do_not_exist(desk: Desk, path: str) -> None:
    desk.person("bob")
    browser = desk.browser()
    browser.sign_in("bob")
    answer = browser.get(path)
    assert answer.status_code == 404
    assert answer.text.replace(path, "") == browser.get("/admin/nothing").text.replace("/admin/nothing", "")
