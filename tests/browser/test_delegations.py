"""The page of delegations in a real browser: without JavaScript, by what people read, and as axe-core sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from authz.clients.enrolling import add_agent
from authz.people.accounts import find_person
from authz.tokens import delegations
from registry.database import Concern
from tests.browser.test_pages import furnish, sign_in, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.gateway.pages.desk import Desk

pytestmark = pytest.mark.servers

PAGE = "/account/delegations"


def agents(desk: Desk) -> None:
    with desk.office.database.change(Concern.PEOPLE) as session:
        add_agent(session, "nightly", name="The nightly report")
        add_agent(session, "triage")


def test_a_delegation_is_given_and_ended_without_javascript(chromium: Browser, desk: Desk) -> None:
    furnish(desk)
    agents(desk)
    context = chromium.new_context(base_url=desk.settings.base_url, java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(60_000)
    sign_in(page, following=PAGE)
    page.get_by_label("Agent").select_option(label="nightly (The nightly report)")
    page.get_by_label("notes.read").check()
    page.get_by_label("How often").fill("3")
    page.get_by_label("What it is for").fill("the weekly numbers")
    page.get_by_role("button", name="Give it").click()
    row = page.get_by_role("row").filter(has_text="agent:nightly")
    assert row.get_by_text("or after 3 more tokens").is_visible()
    assert row.get_by_text("the weekly numbers").is_visible()
    page.get_by_role("button", name="End the delegation to agent:nightly").click()
    assert page.get_by_text("No agent acts for you").is_visible()
    assert page.get_by_text("ended", exact=True).is_visible()
    context.close()


def test_axe_finds_nothing_serious_on_the_page_of_delegations(page: Page, desk: Desk, axe: str) -> None:
    furnish(desk)
    sign_in(page, following=PAGE)
    found = violations(page, axe)
    agents(desk)
    with desk.office.database.change(Concern.PEOPLE) as session:
        me = find_person(session, "root")
        agent = add_agent(session, "helper")[0]
        draft = delegations.Draft(
            person=me, agent=agent, scopes=frozenset({"notes.read", "notes.*"}), expires_at=time.time() + 86400, uses=1
        )
        delegations.delegate(session, draft, who="user:root", now=time.time())
        over = delegations.delegate(session, draft, who="user:root", now=time.time())
        delegations.end(session, over, time.time())
    page.goto(PAGE)
    found += violations(page, axe)
    assert found == []
