"""Token exchange over HTTP: an agent, a client and a delegation, and how far each of them reaches."""

from __future__ import annotations

import time

from authz.clients.agents import disable_client
from authz.tables import Client, Person
from registry.database import Concern
from tests.gateway.oauth.house import REDIRECT, pkce
from tests.gateway.oauth.market import ACCESS_TOKEN, TYPE, Market, claims_of, error_of


def test_an_agent_gets_a_token_for_one_tool_as_somebody_who_is_asked_about_with_it(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.add", "clock.now")

    given = market.exchanged(agent, market.token_of(person), scope="notes.add notes.delete clock.now")

    assert given["scope"] == "notes.add"  # the rest is not the person's, or not the agent's
    assert given["token_type"] == "Bearer"
    assert given["issued_token_type"] == ACCESS_TOKEN
    assert given["expires_in"] <= 120
    assert "refresh_token" not in given
    claims = claims_of(given["access_token"])
    assert (claims["sub"], claims["client_id"], claims["act"]) == (person.id, agent[0].id, {"sub": agent[0].id})
    assert (claims["aud"], claims["token_use"]) == (market.resource, "tool")
    assert market.tools(given["access_token"]) == {"notes_add"}


def test_without_a_scope_it_is_all_that_both_may_use(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.add", "notes.list", "clock.now")
    assert market.exchanged(agent, market.token_of(person))["scope"] == "notes.add notes.list"


def test_a_whole_server_becomes_the_tools_that_it_has_now(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    given = market.exchanged(agent, market.token_of(person), scope="notes.*")
    assert given["scope"] == "notes.add notes.delete notes.list"


def test_a_narrow_token_leads_to_nothing_beside_it(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    token = market.token_of(person, scope="notes.list")
    assert market.exchanged(agent, token, scope="notes.add notes.list")["scope"] == "notes.list"
    assert error_of(market.exchange(agent, token, scope="notes.add")) == (400, "invalid_scope")


def test_a_client_reaches_no_farther_than_an_administrator_lets_it(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, agent[0].id).scope = "notes.list clock.*"
    assert market.exchanged(agent, market.token_of(person))["scope"] == "notes.list"


def test_a_client_narrows_a_token_of_its_own_and_acts_as_nobody(market: Market) -> None:
    person, client = market.allowed("notes.*"), market.exchanger()
    proof_token = _own_token(market, person, client)
    claims = claims_of(market.exchanged(client, proof_token, scope="notes.add")["access_token"])
    assert "act" not in claims
    assert claims["client_id"] == client[0].id


def test_a_client_that_is_no_agent_has_no_use_for_the_token_of_another(market: Market) -> None:
    person, client = market.allowed("notes.*"), market.exchanger()
    assert error_of(market.exchange(client, market.token_of(person), scope="notes.add")) == (400, "invalid_request")


def test_t_16_nor_has_it_when_it_holds_a_token_of_the_same_person_itself(market: Market) -> None:
    person, client = market.allowed("notes.*"), market.exchanger()
    own = {"actor_token": _own_token(market, person, client), "actor_token_type": ACCESS_TOKEN}
    refused = market.exchange(client, market.token_of(person), scope="notes.add", **own)
    assert error_of(refused) == (400, "invalid_request")


def test_a_client_without_the_right_to_exchange_is_told_so(market: Market) -> None:
    person, client = market.allowed("notes.*"), market.confidential()
    assert error_of(market.exchange(client, market.token_of(person))) == (400, "unauthorized_client")


def test_an_agent_narrows_its_own_token_without_acting_for_anybody(market: Market) -> None:
    agent = market.worker("notes.*")
    claims = claims_of(market.exchanged(agent, market.token_as(agent), scope="notes.list")["access_token"])
    assert (claims["sub"], claims["scope"], "act" in claims) == (agent[0].id, "notes.list", False)


def test_the_token_is_for_the_resource_of_its_subject_and_no_other(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    mount = f"{market.base}/servers/notes/mcp"
    portal, mounted = market.token_of(person), market.token_of(person, resource=mount)

    assert claims_of(market.exchanged(agent, mounted, scope="notes.add")["access_token"])["aud"] == mount
    for asked in ({"resource": mount}, {"audience": mount}, {"resource": "https://elsewhere.example/mcp"}):
        assert error_of(market.exchange(agent, portal, scope="notes.add", **asked)) == (400, "invalid_target")
    two = {"resource": market.resource, "audience": mount}
    assert error_of(market.exchange(agent, portal, scope="notes.add", **two)) == (400, "invalid_target")
    same = {"resource": market.resource, "audience": market.resource}
    assert market.exchanged(agent, portal, scope="notes.add", **same)["scope"] == "notes.add"


def test_it_lives_no_longer_than_its_subject(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    token = market.token_of(person)
    claims = claims_of(market.exchanged(agent, token, scope="notes.add")["access_token"])
    assert claims["exp"] - claims["iat"] <= 120
    assert claims["exp"] <= claims_of(token)["exp"]


def test_it_ends_with_the_sign_in_that_it_came_of(market: Market) -> None:
    person, agent, client = market.allowed("notes.*"), market.worker("notes.*"), market.client()
    tokens = market.tokens(person, client)
    given = market.exchanged(agent, tokens["access_token"], scope="notes.add")["access_token"]
    assert market.call(given) == 200
    assert market.post("/oauth/revoke", {"token": tokens["refresh_token"], "client_id": client.id}).status_code == 200
    market.until_call(given, 401)


def test_it_ends_with_the_token_that_it_was_made_from(market: Market) -> None:
    person, agent, client = market.allowed("notes.*"), market.worker("notes.*"), market.client()
    token = market.tokens(person, client)["access_token"]
    given = market.exchanged(agent, token, scope="notes.add")["access_token"]
    assert market.post("/oauth/revoke", {"token": token, "client_id": client.id}).status_code == 200
    market.until_call(given, 401)
    assert error_of(market.exchange(agent, token, scope="notes.add")) == (400, "invalid_grant")


def test_it_ends_with_the_client_that_had_the_token_before(market: Market) -> None:
    person, agent, client = market.allowed("notes.*"), market.worker("notes.*"), market.client()
    given = market.exchanged(agent, market.tokens(person, client)["access_token"], scope="notes.add")["access_token"]
    assert market.call(given) == 200
    with market.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
        disable_client(session, session.get_one(Client, client.id), time.time())
    market.until_call(given, 401)


def test_what_was_exchanged_is_on_record_with_everybody_who_acts(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    token = market.token_of(person)
    given = claims_of(market.exchanged(agent, token, scope="notes.add")["access_token"])

    record = next(line for line in market.records("token.exchanged") if line["jti"] == given["jti"])
    assert (record["who"], record["actors"]) == (f"user:{person.handle}", [f"agent:{agent[0].handle}"])
    assert (record["scope"], record["client"], record["source"]) == ("notes.add", agent[0].id, claims_of(token)["jti"])
    assert token not in market.everything_written()


def test_both_are_asked_about_each_call_and_both_are_named(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    given = market.exchanged(agent, market.token_of(person), scope="notes.add notes.list")["access_token"]
    assert market.tools(given) == {"notes_add", "notes_list"}

    market.allow(agent[0], "notes.add", effect="deny")
    end = time.monotonic() + 60
    while (answer := market.ask(given, "tools/call", name="notes_add", arguments={})).status_code != 200:
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)
    result = answer.json()["result"]
    assert result["isError"]
    assert f"agent:{agent[0].handle}, acting for user:{person.handle}," in result["content"][0]["text"]
    refusal = next(line for line in market.records("call.refused") if line["who"] == f"user:{person.handle}")
    assert refusal["actors"] == [f"agent:{agent[0].handle}"]
    assert market.tools(given) == {"notes_add", "notes_list"}  # what is denied to call may still be seen


def test_what_is_not_in_the_token_is_challenged_with_all_that_is_needed(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    given = market.exchanged(agent, market.token_of(person), scope="notes.list")["access_token"]
    answer = market.ask(given, "tools/call", name="notes_add", arguments={})
    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    assert 'scope="notes.add notes.list"' in answer.headers["www-authenticate"]


def test_more_than_fit_into_a_token_have_to_be_named(market: Market) -> None:
    market.mount("many")
    market.offer("many", *(f"t{number}" for number in range(40)))
    person, agent = market.allowed("many.*"), market.worker("many.*")
    token = market.token_of(person)
    assert error_of(market.exchange(agent, token, scope="many.*")) == (400, "invalid_scope")
    assert market.exchanged(agent, token, scope="many.t1 many.t39")["scope"] == "many.t1 many.t39"


def test_a_type_of_token_that_we_do_not_make_is_refused(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    for kind in (f"{TYPE}refresh_token", f"{TYPE}id_token", "urn:x"):
        refused = market.exchange(agent, market.token_of(person), requested_token_type=kind)
        assert error_of(refused) == (400, "invalid_request")
    assert market.exchanged(agent, market.token_of(person), requested_token_type=ACCESS_TOKEN)


def _own_token(market: Market, person: Person, client: tuple[Client, str]) -> str:
    proof = pkce()
    code = market.code(person, client[0], proof)
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": proof.verifier,
    }  # fmt: skip
    got = market.token(form, (client[0].id, client[1]))
    assert got.status_code == 200, got.text
    token: str = got.json()["access_token"]
    return token


def test_what_a_client_reaches_is_asked_again_whenever_it_gets_a_token(market: Market) -> None:
    person, client = market.allowed("notes.*"), market.client()
    tokens = market.tokens(person, client)
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, client.id).scope = "notes.list"
    renewed = market.refresh(client, tokens["refresh_token"]).json()
    assert renewed["scope"] == "notes.list"
    assert market.tools(renewed["access_token"]) == {"notes_list"}
    agent = market.worker("notes.*")
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, agent[0].id).scope = "clock.*"
    asked = {"grant_type": "client_credentials", "scope": "notes.add"}
    assert error_of(market.token(asked, (agent[0].id, agent[1]))) == (400, "invalid_scope")
