"""What a person gives an agent on the page and takes back there, before the whole gateway."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from authz.tokens import delegations
from tests.gateway.oauth.market import DELEGATION, Market, error_of

if TYPE_CHECKING:
    import httpx2

    from authz.tables import Client, Delegation, Person
    from tests.gateway.oauth.house import Browser

PAGE = "/account/delegations"


def post(browser: Browser, path: str = PAGE, **fields: Any) -> httpx2.Response:
    found = re.search(r'name="csrf" value="(\w+)"', browser.http.get(PAGE).text)
    assert found is not None
    return browser.http.post(path, data={"csrf": found[1], **fields})


def form(agent: Client, *things: str, **more: str) -> dict[str, Any]:
    return {"agent": agent.id, "thing": list(things), "days": "7", "uses": "", "reason": "the report", **more}


def given(market: Market, person: Person) -> list[Delegation]:
    with market.office.database.read() as session:
        return delegations.given(session, person=person.id)


def settled(market: Market, person: Person) -> None:
    """The running gateway knows the person and what they may use."""
    market.token_of(person)


def test_what_is_given_on_the_page_works_and_is_ended_there(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    settled(market, person)
    with market.browser(person) as browser:
        assert post(browser, **form(agent[0], "notes.add", "notes.list", uses="5")).status_code == 303
        (row,) = given(market, person)
        assert (row.scope, row.uses_left, row.reason) == ("notes.add notes.list", 5, "the report")
        page = browser.http.get(PAGE).text
        assert row.id in page
        assert "after 5 more tokens" in page
        token = market.exchanged(agent, row.id, DELEGATION)["access_token"]
        assert market.tools(token) == {"notes_add", "notes_list"}

        assert post(browser, f"{PAGE}/end", delegation=row.id).status_code == 303
        market.until_call(token, 401)
        assert error_of(market.exchange(agent, row.id, DELEGATION)) == (400, "invalid_grant")
        assert "ended" in browser.http.get(PAGE).text
    events = [line for line in market.records() if line.get("delegation") == row.id]
    assert [line["event"] for line in events] == ["delegation.given", "token.exchanged", "delegation.ended"]
    assert {line["who"] for line in events} == {f"user:{person.handle}"}


def test_only_what_they_may_use_is_offered_and_taken(market: Market) -> None:
    person, agent = market.allowed("notes.add"), market.worker("notes.*")
    settled(market, person)
    with market.browser(person) as browser:
        page = browser.http.get(PAGE).text
        assert 'value="notes.add"' in page
        assert 'value="notes.delete"' not in page
        assert "clock" not in page
        for things in (("notes.delete",), ("clock.*",), ("mcp",), ("notes.add", "clock.now"), ()):
            assert post(browser, **form(agent[0], *things)).status_code == 400
    assert given(market, person) == []


@pytest.mark.parametrize(
    "more",
    [
        {"days": "0"}, {"days": "181"}, {"days": "x"}, {"days": "-1"}, {"days": "9999999"}, {"uses": "0"},
        {"uses": "-1"}, {"uses": "1.5"}, {"uses": "9999999"}, {"reason": "x" * 201}, {"agent": "agt_x"}, {"agent": ""},
    ],
)  # fmt: skip
def test_what_cannot_be_given_is_said(market: Market, more: dict[str, str]) -> None:
    person, agent = market.allowed("notes.add"), market.worker("notes.*")
    settled(market, person)
    with market.browser(person) as browser:
        refused = post(browser, **(form(agent[0], "notes.add") | more))
        assert refused.status_code == 400
        assert 'role="alert"' in refused.text
    assert given(market, person) == []


def test_nobody_ends_or_sees_the_delegation_of_somebody_else(market: Market) -> None:
    person, other, agent = market.allowed("notes.*"), market.allowed("notes.*"), market.worker("notes.*")
    settled(market, other)
    made = market.delegate(person, agent[0], "notes.*")
    with market.browser(other) as browser:
        assert made not in browser.http.get(PAGE).text
        theirs = post(browser, f"{PAGE}/end", delegation=made)
        nobodys = post(browser, f"{PAGE}/end", delegation="dlg_x")
    assert (theirs.status_code, theirs.text) == (nobodys.status_code, nobodys.text)
    assert theirs.status_code == 404
    assert market.exchanged(agent, made, DELEGATION)


def test_t_28_no_other_page_gives_or_ends_one(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    settled(market, person)
    made = market.delegate(person, agent[0], "notes.*")
    with market.browser(person) as browser:
        for path, fields in ((PAGE, form(agent[0], "notes.add")), (f"{PAGE}/end", {"delegation": made})):
            assert browser.http.post(path, data=fields).status_code == 403
            assert browser.http.post(path, data=fields | {"csrf": "0" * 64}).status_code == 403
    assert [row.id for row in given(market, person)] == [made]
    assert market.exchanged(agent, made, DELEGATION)


def test_whoever_is_not_signed_in_is_asked_to(market: Market) -> None:
    with market.browser() as browser:
        assert browser.http.get(PAGE).headers["location"] == "/signin?next=%2Faccount%2Fdelegations"


def test_a_server_with_very_many_tools_does_not_fill_the_page(market: Market) -> None:
    market.mount("large")
    market.offer("large", *(f"t{number:03}" for number in range(230)))
    person = market.allowed("large.*")
    market.worker()
    settled(market, person)
    with market.browser(person) as browser:
        page = browser.http.get(PAGE).text
    assert 'value="large.*"' in page
    assert page.count('value="large.t') == 200
    assert "and 30 more" in page
