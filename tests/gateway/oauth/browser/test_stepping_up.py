"""A call that needs a stronger sign-in: the challenge, the way through the browser, and the call that then goes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import select

from authz.people.accounts import new_hash
from authz.policy.rules import Draft, write_rule
from authz.tables import BrowserSession, Person
from registry.database import Concern
from tests.fakes.door import modern
from tests.fakes.proofs import Holder
from tests.gateway.oauth.house import REDIRECT, answer_of, pkce
from tests.gateway.oauth.market import DELEGATION, Market, claims_of, error_of

if TYPE_CHECKING:
    import httpx2

    from authz.tables import Client
    from tests.gateway.oauth.house import Browser

PASSWORD = "correct horse battery"


def careful(market: Market, assurance: str) -> Person:
    """Somebody with a password who may list at once, and delete only after a sign-in like this."""
    person = market.allowed("notes.list")
    with market.office.database.change(Concern.POLICY, Concern.PEOPLE) as session:
        draft = Draft(subject=f"user:{person.handle}", object="notes.delete", action="call", assurance=assurance)
        write_rule(session, draft, who="operator:test", now=time.time())
        session.get_one(Person, person.id).password_hash = new_hash(person.handle, PASSWORD)
    return person


def age(market: Market, person: Person, seconds: float) -> None:
    """As if they had signed in so long ago."""
    with market.office.database.change() as session:
        for row in session.exec(select(BrowserSession).where(BrowserSession.person == person.id)):
            row.auth_time -= seconds


def token(market: Market, browser: Browser, client: Client, **more: str) -> str:
    proof = pkce()
    page = browser.authorize(client, proof, **more)
    answered = browser.answer(page) if page.status_code == 200 else page  # asked once, and remembered
    got = market.redeem(client, answer_of(answered)["code"], proof)
    assert got.status_code == 200, got.text
    given: str = got.json()["access_token"]
    return given


def sign_in(browser: Browser, where: str, person: Person) -> httpx2.Response:
    """Fills in the form that a redirect led to, and goes where it leads."""
    page = browser.http.get(where)
    assert page.status_code == 200, page.text
    fields = dict(re.findall(r'name="(csrf|next)" value="([^"]*)"', page.text))
    fields["next"] = fields["next"].replace("&amp;", "&")
    done = browser.http.post("/signin", data={**fields, "handle": person.handle, "password": PASSWORD})
    assert done.status_code == 200, done.text
    return browser.http.get(fields["next"])


def test_a_call_that_needs_a_fresh_sign_in_gets_it(market: Market) -> None:
    person, client = careful(market, "max_age:300"), market.client()
    with market.browser(person) as browser:
        age(market, person, 1000)
        old = token(market, browser, client)
        refused = market.ask(old, "tools/call", name="notes_delete", arguments={})
        assert refused.status_code == 403
        challenge = refused.headers["www-authenticate"]
        assert 'error="insufficient_scope"' in challenge
        assert 'scope="mcp notes.delete"' in challenge
        assert 'max_age="300"' in challenge
        assert market.tools(old) == {"notes_list", "notes_delete"}

        sent = browser.authorize(client, pkce(), scope="mcp notes.delete")  # as a client asks that knows scopes alone
        assert sent.status_code == 303
        assert sent.headers["location"].startswith("/signin?again=1&next=")
        page = sign_in(browser, sent.headers["location"], person)
        assert 'action="/oauth/consent"' in page.text
        again = token(market, browser, client, scope="mcp notes.delete")
    answer = market.ask(again, "tools/call", name="notes_delete", arguments={})
    assert answer.status_code == 502, answer.text  # allowed: it left for a server that is not there


def test_a_client_that_says_max_age_has_people_sign_in_again(market: Market) -> None:
    person, client = careful(market, "max_age:300"), market.client()
    with market.browser(person) as browser:
        assert browser.authorize(client, max_age="600").status_code == 200
        age(market, person, 700)
        sent = browser.authorize(client, max_age="600")
        assert sent.headers["location"].startswith("/signin?again=1&next=")
        page = sign_in(browser, sent.headers["location"], person)
        assert 'action="/oauth/consent"' in page.text
        assert browser.authorize(client, max_age="0").status_code == 200  # it was just now


def test_what_signing_in_again_cannot_give_is_said_to_the_client(market: Market) -> None:
    person, client = careful(market, "acr:gold"), market.client()
    with market.browser(person) as browser:
        sent = browser.authorize(client, acr_values="platinum gold")
        assert sent.headers["location"].startswith("/signin?again=1&next=")
        back = sign_in(browser, sent.headers["location"], person)
        told = answer_of(back)
        assert (told["error"], told["state"]) == ("unmet_authentication_requirements", "st&te")
        assert told["iss"] == market.base


def test_rules_that_cannot_be_met_do_not_keep_people_from_the_rest(market: Market) -> None:
    person, client = careful(market, "acr:gold"), market.client()
    with market.browser(person) as browser:
        sent = browser.authorize(client, scope="notes.list notes.delete")
        page = sign_in(browser, sent.headers["location"], person)
        assert 'action="/oauth/consent"' in page.text


@pytest.mark.parametrize("age", ["-1", "x", "1.5", "99999999999", "\N{ARABIC-INDIC DIGIT ONE}"])
def test_a_max_age_that_is_no_number_is_an_error(market: Market, age: str) -> None:
    with market.browser(market.allowed("notes.list")) as browser:
        assert answer_of(browser.authorize(market.client(), max_age=age))["error"] == "invalid_request"


def test_an_agent_under_a_delegation_is_told_why_and_not_to_sign_in(market: Market) -> None:
    person, agent = careful(market, "max_age:300"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*")
    given = market.exchanged(agent, delegation, DELEGATION)
    assert given["scope"] == "notes.list"
    assert error_of(market.exchange(agent, delegation, DELEGATION, scope="notes.delete")) == (400, "invalid_scope")


def test_an_exchange_is_as_sure_as_its_subject(market: Market) -> None:
    person, agent, client = careful(market, "max_age:300"), market.worker("notes.*"), market.client()
    with market.browser(person) as browser:
        fresh = token(market, browser, client)
        age(market, person, 1000)
        old = token(market, browser, client)
    assert market.exchanged(agent, fresh)["scope"] == "notes.delete notes.list"
    assert market.exchanged(agent, old)["scope"] == "notes.list"
    assert claims_of(market.exchanged(agent, fresh)["access_token"])["auth_time"] == claims_of(fresh)["auth_time"]


def test_where_it_leads_after_signing_in_again_is_ours(market: Market) -> None:
    person = careful(market, "max_age:300")
    with market.browser(person) as browser:
        sent = browser.authorize(market.client(), max_age="600", state="x")
        assert sent.status_code == 200
        age(market, person, 700)
        sent = browser.authorize(market.client(), max_age="600")
    following = parse_qs(urlsplit(sent.headers["location"]).query)["next"][0]
    assert following.startswith("/oauth/authorize?")
    assert following.endswith("&ostiary_signed_in_again=1")


def test_a_token_without_a_key_is_told_so_in_words(market: Market) -> None:
    person = careful(market, "dpop")
    answer = market.ask(market.token_of(person), "tools/call", name="notes_delete", arguments={})
    assert answer.status_code == 200
    result = answer.json()["result"]
    assert result["isError"]
    assert "a rule wants one that is bound to a key (DPoP)" in result["content"][0]["text"]
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('DPoP algs="')
    assert "ES256" in challenge
    assert f'resource_metadata="{market.base}/.well-known/oauth-protected-resource/mcp"' in challenge
    assert "error" not in challenge  # nobody is to throw the token away


def test_a_token_with_a_key_is_let_through_by_the_same_rule(market: Market) -> None:
    person, client, holder = careful(market, "dpop"), market.client(), Holder()
    proof = pkce()
    form = {
        "grant_type": "authorization_code", "code": market.code(person, client, proof), "client_id": client.id,
        "redirect_uri": REDIRECT, "code_verifier": proof.verifier,
    }  # fmt: skip
    with market.http() as http:
        where = f"{market.base}/oauth/token"
        got = http.post("/oauth/token", data=form, headers={"dpop": holder.proof("POST", where)})
        assert got.json()["token_type"] == "DPoP", got.text
        bound = got.json()["access_token"]
        headers, body = modern(bound, "tools/call", {"name": "notes_delete", "arguments": {}})
        own = [("Authorization", f"DPoP {bound}"), ("DPoP", holder.proof("POST", market.resource, bound))]
        answer = http.post("/mcp", content=body, headers=[*headers[1:], *own])
    assert answer.status_code == 502, answer.text  # allowed: it left for a server that is not there
    assert "www-authenticate" not in answer.headers


def test_what_a_rule_wants_of_a_thing_does_not_show_from_outside(market: Market) -> None:
    with market.http() as http:
        before = http.get("/.well-known/oauth-protected-resource/mcp").text
        careful(market, "dpop")
        assert http.get("/.well-known/oauth-protected-resource/mcp").text == before
    assert "dpop_bound_access_tokens_required" not in before
