"""What somebody holds, and a device that asks for it, in a real browser: by keyboard, small, and as axe sees it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from authz.people.sessions import begin_session
from authz.tokens import personal
from registry.database import Concern
from tests.browser.conftest import window
from tests.browser.test_pages import tab_to, violations
from tests.gateway.oauth.browser.test_device import begin, device, poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

    from authz.tables import Person
    from tests.gateway.oauth.house import House

pytestmark = pytest.mark.servers

PAGES = ("/account", "/account/tokens", "/account/sessions", "/account/delegations", "/device")
LONG = "A program with a name that nobody would choose who has to read it on a telephone"


@pytest.fixture
def person(house: House) -> Person:
    return house.person()


@pytest.fixture
def page(chromium: Browser, house: House, person: Person) -> Iterator[Page]:
    with window(chromium, house.base) as page:
        enter(page.context, house, person)
        yield page


def enter(context: BrowserContext, house: House, person: Person) -> None:
    """Signed in, without the way there."""
    with house.office.database.change() as session:
        cookie = begin_session(session, person, now=time.time(), life=3600, amr="pwd", address="127.0.0.1")
    context.add_cookies([{"name": "ostiary", "value": cookie, "url": house.base}])


def furnish(house: House, person: Person) -> None:
    """Two more browsers, and two tokens, one of them of many words."""
    now = time.time()
    with house.office.database.change(Concern.PERSONAL) as session:
        begin_session(session, person, now=now, life=3600, amr="pwd", address="2001:db8:1234:5678:9abc:def0:1234:5678")
        begin_session(session, person, now=now, life=3600, amr="pwd", address="")
        scopes = " ".join(f"notes.a_tool_with_a_long_name_{number}" for number in range(8))
        for name, scope in (("the build", "mcp"), (LONG, scopes)):
            personal.make(session, person.id, name, scope=scope, resource=house.resource, days=30, now=now)


def question(page: Page, house: House) -> str:
    """Goes to the page where the code of a device is answered; gives the device's own code."""
    client = device(house)
    begun = begin(house, client)
    page.goto("/device")
    page.get_by_label("Code").fill(begun["user_code"].lower())
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Connect An app?").wait_for()
    expect(page.get_by_text(begun["user_code"], exact=True)).to_be_visible()  # as the device shows it
    return poll(house, client, begun["device_code"]).text


def test_axe_finds_nothing_serious(page: Page, house: House, person: Person, axe: str) -> None:
    found = []
    for path in PAGES:
        page.goto(path)
        found += violations(page, axe)
    furnish(house, person)
    for path in PAGES:
        page.goto(path)
        found += violations(page, axe)
    page.get_by_label("Code").fill("WRNG-CODE")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    found += violations(page, axe)
    question(page, house)
    found += violations(page, axe)
    assert found == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_scrolls_sideways_on_a_small_screen(page: Page, house: House, person: Person, width: int) -> None:
    furnish(house, person)
    page.set_viewport_size({"width": width, "height": 800})
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    question(page, house)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_device_is_connected_with_the_keyboard(page: Page, house: House) -> None:
    client = device(house)
    begun = begin(house, client)
    page.goto("/device")
    page.keyboard.type(begun["user_code"])  # the field has the focus already
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Connect An app?").wait_for()
    tab_to(page, "Connect")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="It is connected").wait_for()
    assert "access_token" in poll(house, client, begun["device_code"]).json()


def test_a_link_with_the_code_only_fills_it_in(page: Page, house: House) -> None:
    client = device(house)
    begun = begin(house, client)
    page.goto(begun["verification_uri_complete"])
    expect(page.get_by_label("Code")).to_have_value(begun["user_code"])
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Do not connect").click()
    page.get_by_role("heading", name="It stays out").wait_for()
    assert poll(house, client, begun["device_code"]).json()["error"] == "access_denied"


def test_a_token_is_made_and_ended_with_the_keyboard_and_shown_once(page: Page, house: House) -> None:
    page.goto("/account/tokens")
    tab_to_field(page, "name")
    page.keyboard.type("the build")
    page.keyboard.press("Enter")
    token = page.get_by_text(re.compile("ost_pat_")).inner_text()
    house.until_call(token, 200)
    page.goto("/account/tokens")
    assert token not in page.content()
    tab_to(page, "End the build")
    page.keyboard.press("Enter")
    page.get_by_text("You have none.").wait_for()
    house.until_call(token, 401)


def tab_to_field(page: Page, name: str) -> None:
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == name:
            return
    pytest.fail(f"the keyboard never reached {name!r}")


def test_a_browser_elsewhere_is_ended_and_then_everything_without_javascript(
    chromium: Browser, house: House, person: Person
) -> None:
    context = chromium.new_context(base_url=house.base, java_script_enabled=False)
    enter(context, house, person)
    furnish(house, person)
    page = context.new_page()
    page.goto("/account")
    page.get_by_role("link", name="Where you are signed in").click()
    page.get_by_role("button", name="End the session at 2001:db8").click()
    expect(page.get_by_text("2001:db8")).to_have_count(0)
    expect(page.get_by_text("This one")).to_be_visible()
    page.get_by_role("button", name="Sign out everywhere", exact=True).click()
    page.get_by_role("link", name="Sign in", exact=True).wait_for()
    with house.office.database.read() as session:
        assert personal.alive(session, person.id, time.time()) == []
    context.close()
