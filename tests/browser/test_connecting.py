"""Accounts at servers in a real browser: one, several in one go, a value; without JavaScript; as axe-core sees them."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from gateway.credentials.connections.links import Ticket, link
from registry.credentials import connections
from registry.tables import AddressException, ConnectionState
from tests.browser.test_pages import sign_in, violations
from tests.fakes.servers.upstream_oauth import Upstream, serving
from tests.gateway.pages.desk import PASSWORD
from tests.gateway.pages.test_connecting import MODES, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from authz.tables import Person
    from tests.gateway.pages.desk import Desk

pytestmark = pytest.mark.servers


@pytest.fixture
def fakes(desk: Desk) -> Iterator[dict[str, Upstream]]:
    """Authorization servers that agree at once, in the name of ada."""
    found = {slug: Upstream() for slug in ("notes", "files", "mail")}
    with ExitStack() as stack:
        for fake in found.values():
            fake.person = "ada"
            stack.enter_context(serving(fake))
        with desk.office.database.change() as session:
            for fake in found.values():
                port = urlsplit(fake.origin).port or 0
                session.add(AddressException(scheme="http", host="127.0.0.1", port=port))
        settled(desk, found)
        yield found


@pytest.fixture
def ada(desk: Desk, fakes: dict[str, Upstream]) -> Person:
    for slug in MODES:
        desk.rule("user:ada", f"{slug}.*", "list")
    return desk.person("ada")


def led(desk: Desk, person: Person, slug: str) -> str:
    """The path of the link that a call of this person is answered with."""
    return link(desk.office.vault, "", slug, Ticket(person.id, object=f"{slug}.read"))


def state_of(desk: Desk, slug: str, person: Person) -> str:
    with desk.office.database.read() as session:
        row = connections.find(session, slug, person.id)
    return "" if row is None else row.state


def shoot(page: Page, name: str) -> None:
    """For whoever wants to look: only where a directory for it is named."""
    where = os.environ.get("SCREENSHOTS")
    if where:
        page.screenshot(path=f"{where}/{name}.png", full_page=True)


def test_by_the_link_of_a_call_two_servers_are_connected_in_one_go(page: Page, desk: Desk, ada: Person) -> None:
    there = led(desk, ada, "notes")
    page.goto(there)
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlsplit(url).path == "/connect/notes")
    assert page.get_by_text("notes.read", exact=True).is_visible()
    assert page.get_by_label("The files server").is_checked()
    shoot(page, "connect-led")
    page.get_by_role("button", name="Connect").click()
    page.wait_for_url("**/connect?done=files")
    assert page.get_by_role("status").filter(has_text="The files server is connected.").is_visible()
    shoot(page, "connections-done")
    assert state_of(desk, "notes", ada) == state_of(desk, "files", ada) == ConnectionState.CONNECTED


def test_one_of_several_that_is_not_ticked_stays_as_it_is(page: Page, desk: Desk, ada: Person) -> None:
    sign_in(page, "ada", "/connect")
    page.goto(led(desk, ada, "notes"))
    page.get_by_label("The files server").uncheck()
    page.get_by_role("button", name="Connect").click()
    page.wait_for_url("**/connect?done=notes")
    assert state_of(desk, "files", ada) == ""


def test_all_is_done_without_javascript(chromium: Browser, desk: Desk, ada: Person) -> None:
    context = chromium.new_context(base_url=desk.settings.base_url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(60_000)
    sign_in(page, "ada", "/connect")
    page.get_by_role("button", name="Connect all 2").click()
    page.wait_for_url("**/connect?done=*")
    assert page.get_by_role("button", name="Reconnect The notes server").is_visible()
    page.get_by_role("button", name="Disconnect The notes server").click()
    assert (
        page.get_by_role("row").filter(has_text="The notes server").get_by_text("disconnected", exact=True).is_visible()
    )
    page.get_by_role("link", name="Give it: The wiki server").click()
    page.get_by_label("The value").fill("a-key-of-ada")
    page.get_by_role("button", name="Keep it").click()
    page.wait_for_url("**/connect?done=wiki")
    assert "a-key-of-ada" not in page.content()
    assert state_of(desk, "wiki", ada) == ConnectionState.CONNECTED
    context.close()


def test_an_administrator_connects_the_shared_account(page: Page, desk: Desk, ada: Person) -> None:
    desk.person("root", admin=True)
    sign_in(page, following="/admin/servers")
    page.get_by_role("link", name="The mail server").click()
    page.get_by_role("link", name="The shared account").click()
    page.get_by_role("button", name="Connect it").click()
    page.wait_for_url("**/connect/mail/shared?done=1")
    assert page.get_by_role("status").get_by_text("Connected.").is_visible()
    shoot(page, "connect-shared")
    page.get_by_role("link", name="The server in the review").click()
    row = page.get_by_role("row").filter(has_text="shared")
    assert row.get_by_text("connected by user:root").is_visible()
    shoot(page, "review-accounts")


def test_axe_finds_nothing_serious_on_the_pages_of_accounts(page: Page, desk: Desk, ada: Person, axe: str) -> None:
    root = desk.person("root", admin=True)
    for slug in ("notes", "files", "wiki"):
        desk.rule("user:root", f"{slug}.*", "list")
    sign_in(page)
    found = []
    for path in ("/connect", "/connect/notes", "/connect/wiki", "/connect/mail/shared", led(desk, root, "notes"),
                 led(desk, ada, "notes"), "/connect/notes?ticket=old"):  # fmt: skip
        page.goto(path)
        found += violations(page, axe)
    with desk.office.database.change() as session:
        for slug, subject in (("notes", root.id), ("files", root.id), ("mail", "")):
            tokens = connections.Tokens(access="at", refresh="rt", expires_at=time.time() + 3600)
            row = connections.connect(
                session, desk.office.vault, slug, subject, tokens, by="user:root", now=time.time()
            )
            if slug == "files":
                row.state, row.why = ConnectionState.NEEDS_RECONNECT, "its authorization server says that it is over"
    for path in ("/connect", "/connect/files", "/connect?done=notes", "/connect/mail/shared", "/admin/servers",
                 "/admin/servers/notes", "/account"):  # fmt: skip
        page.goto(path)
        found += violations(page, axe)
        shoot(page, "axe" + path.replace("/", "-").replace("?", "-"))
    assert found == []


@pytest.mark.parametrize("width", [320, 768])
def test_no_page_of_accounts_scrolls_sideways_on_a_small_screen(
    page: Page, desk: Desk, ada: Person, width: int
) -> None:
    desk.person("root", admin=True)
    sign_in(page, "ada", "/connect")
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/connect", "/connect/wiki", led(desk, ada, "notes")):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        shoot(page, f"small-{width}-" + urlsplit(path).path.strip("/").replace("/", "-"))


def test_a_person_of_another_call_is_told_so(page: Page, desk: Desk, ada: Person) -> None:
    desk.person("bob")
    sign_in(page, "bob")
    page.goto(led(desk, ada, "notes"))
    assert page.get_by_role("heading", name="This link is not yours").is_visible()
    assert page.get_by_role("button", name="Connect").count() == 0
