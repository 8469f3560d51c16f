"""Signing in with a provider, and with a code after the password, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from authz.tables import Provider
from registry.database import Concern
from tests.browser.test_pages import sign_in, violations
from tests.fakes.providers.identity import ISSUER, fake_kinds
from tests.gateway.pages.desk import PASSWORD
from tests.gateway.pages.test_second_factor import key_of, next_code, now_code

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

    from tests.fakes.providers.identity import Organisation
    from tests.gateway.pages.desk import Desk

pytestmark = pytest.mark.servers


@pytest.fixture
def organisation(desk: Desk, page: Page, monkeypatch: pytest.MonkeyPatch) -> Organisation:
    """With a provider's site that lets everybody in as alice, or as a posting form."""
    made = fake_kinds(monkeypatch)
    made.groups["alice"] = []
    with desk.office.database.change(Concern.PEOPLE) as session:
        session.add(Provider(slug="corp", kind="away", title="Corp sign-in", domains=["corp.example"]))
        session.add(Provider(slug="form", kind="away", title="Form", config={"as_form": True}))
        session.add(Provider(slug="dir", kind="ask", title="Directory"))

    def provider(route: Route) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(route.request.url).query).items()}
        if "/authorize" in route.request.url:
            back = f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], 'code': 'alice'})}"
            route.fulfill(status=302, headers={"location": back})
        elif "/sso" in route.request.url:
            made.asked.append(f"posted {route.request.method}")
            route.fulfill(status=200, content_type="text/html", body="<p>the provider's page</p>")
        else:
            route.fulfill(status=302, headers={"location": f"{asked['back']}?state={asked['state']}"})

    page.route(f"{ISSUER}/**", provider)
    return made


def test_a_button_leads_to_the_provider_and_back_signed_in(page: Page, desk: Desk, organisation: Organisation) -> None:
    page.goto("/signin?next=/account")
    page.get_by_role("link", name="Corp sign-in").click()
    page.get_by_text("With Corp sign-in").wait_for()
    assert urlsplit(page.url).path == "/account"


def test_an_address_of_its_domain_leads_there_and_signing_out_does_too(
    page: Page, desk: Desk, organisation: Organisation
) -> None:
    page.goto("/signin")
    page.keyboard.type("alice@corp.example")
    page.keyboard.press("Enter")
    page.get_by_text("Hello, Alice").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("link", name="Sign in", exact=True).wait_for()
    assert urlsplit(page.url).path == "/"


def test_a_provider_that_is_posted_to_is_reached_without_a_click(
    page: Page, desk: Desk, organisation: Organisation
) -> None:
    page.goto("/signin/form")
    page.get_by_text("the provider's page").wait_for()
    assert organisation.asked[-1] == "posted POST"


def test_a_second_factor_is_set_up_and_asked_for(page: Page, desk: Desk, axe: str) -> None:
    desk.person("root")
    sign_in(page)
    page.goto("/account/second-factor")
    key = key_of(page.content())
    found = violations(page, axe)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Code", exact=True).fill(now_code(key))
    page.keyboard.press("Enter")
    page.get_by_text("Keep your recovery codes").wait_for()
    found += violations(page, axe)
    page.get_by_role("link", name="I have kept them").click()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/signin")
    page.get_by_label("Name").fill("root")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("And your code").wait_for()
    found += violations(page, axe)
    page.keyboard.type(next_code(key))  # the field has the focus already
    page.keyboard.press("Enter")
    page.get_by_text("Hello, root").wait_for()
    assert found == []


@pytest.mark.parametrize("width", [320, 1000])
def test_the_pages_of_signing_in_are_for_everybody(
    page: Page, desk: Desk, organisation: Organisation, axe: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    found = []
    for path in ("/signin", "/signin/dir", "/signin/nothing"):
        page.goto(path)
        found += violations(page, axe)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    page.goto("/signin")
    page.get_by_role("link", name="Corp sign-in").click()
    page.get_by_text("Hello, Alice").wait_for()
    for path in ("/account", "/account/second-factor"):
        page.goto(path)
        found += violations(page, axe)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    assert found == []
