"""A delegation over HTTP: an agent that acts for a person who is not there."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from authz.clients.agents import disable_client
from authz.tables import Client, Delegation, Person
from registry.database import Concern
from tests.gateway.oauth.market import ACCESS_TOKEN, DELEGATION, Market, claims_of, error_of


def test_an_agent_acts_for_a_person_who_is_not_there(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.add", "notes.list")

    given = market.exchanged(agent, delegation, DELEGATION, scope="notes.add notes.delete")

    claims = claims_of(given["access_token"])
    assert (claims["sub"], claims["act"], claims["dlg"]) == (person.id, {"sub": agent[0].id}, delegation)
    assert claims["scope"] == "notes.add"
    assert market.tools(given["access_token"]) == {"notes_add"}
    assert market.delegation(delegation).last_used_at is not None
    record = next(line for line in market.records("token.exchanged") if line["jti"] == claims["jti"])
    assert (record["who"], record["delegation"]) == (f"user:{person.handle}", delegation)


def test_both_have_to_be_allowed_whatever_the_delegation_says(market: Market) -> None:
    person, agent = market.allowed("notes.add", "notes.list"), market.worker("notes.list", "notes.delete")
    delegation = market.delegate(person, agent[0], "notes.*")
    assert market.exchanged(agent, delegation, DELEGATION)["scope"] == "notes.list"
    assert error_of(market.exchange(agent, delegation, DELEGATION, scope="notes.add")) == (400, "invalid_scope")
    assert error_of(market.exchange(agent, delegation, DELEGATION, scope="notes.delete")) == (400, "invalid_scope")


def test_it_can_be_for_the_address_of_one_server(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    mount = f"{market.base}/servers/notes/mcp"
    delegation = market.delegate(person, agent[0], "notes.*")
    token = market.exchanged(agent, delegation, DELEGATION, resource=mount, scope="notes.add")["access_token"]
    assert market.tools(token, "/servers/notes/mcp") == {"add"}
    assert market.call(token) == 401


def test_it_is_of_use_to_its_agent_alone(market: Market) -> None:
    person, agent, other = market.allowed("notes.*"), market.worker("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*")
    stolen = market.exchange(other, delegation, DELEGATION)
    missing = market.exchange(other, "dlg_unknown", DELEGATION)
    assert error_of(stolen) == error_of(missing) == (400, "invalid_grant")
    assert stolen.json() == missing.json()


def test_every_use_counts_and_a_refused_one_does_not(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.add", uses=2)
    assert error_of(market.exchange(agent, delegation, DELEGATION, scope="notes.list")) == (400, "invalid_scope")
    assert error_of(market.exchange(agent, delegation, DELEGATION, resource="https://x.example/")) == (
        400, "invalid_target",
    )  # fmt: skip
    assert market.delegation(delegation).uses_left == 2
    for left in (1, 0):
        assert market.exchanged(agent, delegation, DELEGATION)
        assert market.delegation(delegation).uses_left == left
    refused = market.exchange(agent, delegation, DELEGATION)
    assert error_of(refused) == (400, "invalid_grant")
    assert "used up" in refused.json()["error_description"]


def test_of_fifty_at_once_that_want_the_last_use_one_gets_it(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.add", uses=1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: market.exchange(agent, delegation, DELEGATION), range(50)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {error_of(answer) for answer in answers if answer.status_code != 200} == {(400, "invalid_grant")}
    assert market.delegation(delegation).uses_left == 0
    exchanged = [line for line in market.records("token.exchanged") if line["delegation"] == delegation]
    assert len(exchanged) == 1


def test_when_it_has_ended_so_have_its_tokens(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    ended, stays = market.delegate(person, agent[0], "notes.*"), market.delegate(person, agent[0], "notes.*")
    token = market.exchanged(agent, ended, DELEGATION)["access_token"]
    other = market.exchanged(agent, stays, DELEGATION)["access_token"]
    market.end(ended)

    market.until_call(token, 401)
    assert market.call(other) == 200
    refused = market.exchange(agent, ended, DELEGATION)
    assert error_of(refused) == (400, "invalid_grant")
    assert "ended" in refused.json()["error_description"]


def test_when_it_expires_its_tokens_are_over_too(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*", life=30)
    claims = claims_of(market.exchanged(agent, delegation, DELEGATION)["access_token"])
    assert claims["exp"] <= market.delegation(delegation).expires_at
    with market.office.database.change() as session:
        session.get_one(Delegation, delegation).expires_at = time.time() - 1
    refused = market.exchange(agent, delegation, DELEGATION)
    assert error_of(refused) == (400, "invalid_grant")
    assert "expired" in refused.json()["error_description"]


def test_it_does_not_come_back_with_a_person_who_is_enabled_again(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*")
    market.disable(person)
    assert error_of(market.exchange(agent, delegation, DELEGATION)) == (400, "invalid_grant")
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Person, person.id).disabled_at = None
    assert error_of(market.exchange(agent, delegation, DELEGATION)) == (400, "invalid_grant")


def test_it_does_not_come_back_with_an_agent_that_is_enabled_again(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*")
    token = market.exchanged(agent, delegation, DELEGATION)["access_token"]
    with market.office.database.change(Concern.PEOPLE, Concern.CUTOFFS) as session:
        disable_client(session, session.get_one(Client, agent[0].id), time.time())
    market.until_call(token, 401)
    assert error_of(market.exchange(agent, delegation, DELEGATION)) == (401, "invalid_client")
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, agent[0].id).disabled_at = None
    assert error_of(market.exchange(agent, delegation, DELEGATION)) == (400, "invalid_grant")


def test_an_agent_may_say_who_it_is_twice(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*")
    itself = {"actor_token": market.token_as(agent), "actor_token_type": ACCESS_TOKEN}
    claims = claims_of(market.exchanged(agent, delegation, DELEGATION, **itself)["access_token"])
    assert claims["act"] == {"sub": agent[0].id}
