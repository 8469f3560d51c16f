"""Token exchange in the hands of somebody who wants more: wider, longer, as somebody else, or once again."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz import jose
from authz.clients.known import TOKEN_EXCHANGE
from authz.errors import ScopeRefused
from authz.scopes import ALL, LIMIT, covers, parse_scope, write_scope
from authz.tables import Client, Person
from authz.tokens.minting import Minting, mint
from authz.tokens.narrowing import narrow
from registry.database import Concern
from registry.tables import ServerState
from tests.gateway.oauth.market import ACCESS_TOKEN, DELEGATION, TYPE, Market, claims_of, error_of

if TYPE_CHECKING:
    import httpx2


SERVERS = ("notes", "clock", "a-b", "a_b", "n")
NAMES = ("add", "list", "*", "now", "mcp", "a.b", "note://{id}", "a b", 'q"', "x" * 140, "notes.add")
THINGS = [f"{server}.{name}" for server in SERVERS for name in NAMES]
SCOPES = [ALL, *(f"{server}.{name}" for server in SERVERS for name in ("*", "add", "list", "now", "a.b"))]


def some_of(everything: list[str]) -> st.SearchStrategy[frozenset[str]]:
    """Any of them; a number is drawn and not a set, because ten thousand sets take a minute."""
    masks = st.integers(0, 2 ** len(everything) - 1)
    return masks.map(lambda mask: frozenset(one for at, one in enumerate(everything) if mask >> at & 1))


@given(
    subject=some_of(SCOPES),
    client=some_of(SCOPES),
    asked=some_of(SCOPES),
    offered=some_of(THINGS),
    allowed=some_of(THINGS),
)
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_t_15_what_is_minted_is_within_all_that_it_is_made_of(
    subject: frozenset[str],
    client: frozenset[str],
    asked: frozenset[str],
    offered: frozenset[str],
    allowed: frozenset[str],
) -> None:
    try:
        minted = narrow(sorted(offered), (asked, subject, client), allowed.__contains__)
    except ScopeRefused:
        return
    assert parse_scope(write_scope(minted)) == minted  # what the token says is what was decided
    assert minted <= offered & allowed
    assert 0 < len(minted) <= LIMIT
    assert not [scope for scope in minted if scope == ALL or scope.endswith(".*")]  # nothing that could grow later
    assert all(covers(whole, minted) for whole in (subject, client, asked))
    within = [thing for thing in THINGS if covers(minted, frozenset({thing}))]
    assert all(covers(whole, frozenset(within)) for whole in (subject, client, asked))  # it is good for nothing else


def test_t_16_an_agent_cannot_pass_for_the_person(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    token = market.token_of(person)
    itself = {"actor_token": market.token_as(agent), "actor_token_type": ACCESS_TOKEN}
    for more in ({}, itself):
        claims = claims_of(market.exchanged(agent, token, scope="notes.add", **more)["access_token"])
        assert claims["act"] == {"sub": agent[0].id}


def test_t_16_the_chain_is_kept_in_order_and_ends_at_four(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    before = [market.worker("notes.*")[0] for _ in range(4)]
    token = _acted(market, person, *(each.id for each in before[:3]))
    given = market.exchanged(agent, token, scope="notes.add")["access_token"]

    assert claims_of(given)["act"] == {
        "sub": agent[0].id,
        "act": {"sub": before[0].id, "act": {"sub": before[1].id, "act": {"sub": before[2].id}}},
    }
    assert market.tools(given) == {"notes_add"}
    record = next(line for line in market.records("token.exchanged") if line["jti"] == claims_of(given)["jti"])
    assert record["actors"] == [f"agent:{each.handle}" for each in (agent[0], *before[:3])]
    fifth = market.exchange(agent, _acted(market, person, *(each.id for each in before)), scope="notes.add")
    assert error_of(fifth) == (400, "invalid_request")


def test_t_16_each_in_the_chain_has_to_be_allowed(market: Market) -> None:
    person, agent, first = market.allowed("notes.*"), market.worker("notes.*"), market.worker("notes.list")
    token = _acted(market, person, first[0].id)
    assert market.exchanged(agent, token)["scope"] == "notes.list"
    given = market.exchanged(agent, token)["access_token"]
    with market.office.database.change(Concern.PEOPLE) as session:
        session.get_one(Client, first[0].id).disabled_at = time.time()
    market.until_call(given, 401)
    assert error_of(market.exchange(agent, token)) == (400, "invalid_grant")


def test_t_16_nobody_acts_with_the_token_of_another(market: Market) -> None:
    person, agent, other = market.allowed("notes.*"), market.worker("notes.*"), market.worker("notes.*")
    token = market.token_of(person)
    for actor in (market.token_as(other), token, market.token_of(person)):
        refused = market.exchange(agent, token, scope="notes.add", actor_token=actor, actor_token_type=ACCESS_TOKEN)
        assert error_of(refused) == (400, "invalid_request")


def broken(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' * len(signature)}"


@pytest.mark.parametrize(
    "said",
    [
        {"subject_token": "garbage"}, {"subject_token": ""}, {"subject_token": None}, {"subject_token": "a.b.c"},
        {"subject_token": "x" * 9000}, {"subject_token": "\N{SNOWMAN}"}, {"subject_token": "ost_rt_" + "x" * 43},
        {"subject_token": "ost_pat_" + "x" * 43}, {"subject_token": "dlg_" + "0" * 32},
        {"subject_token_type": None}, {"subject_token_type": ""}, {"subject_token_type": "urn:nonsense"},
        {"subject_token_type": f"{TYPE}refresh_token"}, {"subject_token_type": f"{TYPE}jwt"},
        {"subject_token_type": f"{TYPE}id_token"}, {"subject_token_type": f"{TYPE}saml2"},
        {"subject_token_type": f"{TYPE}saml2", "subject_token": "bm90IHhtbA"},
        {"subject_token_type": f"{TYPE}id_token", "subject_token": "garbage"},
        {"actor_token": "garbage"}, {"actor_token": "garbage", "actor_token_type": ACCESS_TOKEN},
        {"actor_token": "", "actor_token_type": ACCESS_TOKEN}, {"actor_token_type": ACCESS_TOKEN},
        {"actor_token": "x", "actor_token_type": f"{TYPE}id_token"}, {"requested_token_type": f"{TYPE}saml2"},
    ],
)  # fmt: skip
def test_t_17_what_is_there_and_bad_is_an_error(market: Market, said: dict[str, str | None]) -> None:
    person, agent = _pair(market)
    form: dict[str, Any] = {"subject": market.token_of(person), "kind": ACCESS_TOKEN} | {
        {"subject_token": "subject", "subject_token_type": "kind"}.get(name, name): value
        for name, value in said.items()
    }
    subject, kind = form.pop("subject"), form.pop("kind")
    _refused(market.exchange(agent, subject, kind, **form), "invalid_request")


def test_t_17_a_forged_or_expired_token_is_an_error(market: Market) -> None:
    person, agent = _pair(market)
    token = market.token_of(person)
    _refused(market.exchange(agent, broken(token)), "invalid_request")
    _refused(market.exchange(agent, token, actor_token=broken(token), actor_token_type=ACCESS_TOKEN), "invalid_request")
    _refused(market.exchange(agent, _old(market, person, 301)), "invalid_request")
    foreign = replace(_asked(market, person), issuer="https://elsewhere.example")
    _refused(market.exchange(agent, _minted(market, foreign)), "invalid_request")


def test_t_17_a_parameter_given_twice_is_an_error(market: Market) -> None:
    agent = market.worker("notes.*")
    fields = [("grant_type", TOKEN_EXCHANGE), ("subject_token", "a"), ("subject_token", "b")]
    body = urlencode([*fields, ("subject_token_type", ACCESS_TOKEN)])
    with market.http() as http:
        answer = http.post(
            "/oauth/token", content=body, auth=(agent[0].id, agent[1]),
            headers={"content-type": "application/x-www-form-urlencoded"},
        )  # fmt: skip
    _refused(answer, "invalid_request")


def test_t_18_a_tool_token_is_the_end_of_its_line(market: Market) -> None:
    person, agent, other = market.allowed("notes.*"), market.worker("notes.*"), market.worker("notes.*")
    given = market.exchanged(agent, market.token_of(person), scope="notes.add")["access_token"]
    for client in (agent, other):
        _refused(market.exchange(client, given), "invalid_request")
    twice = market.exchange(agent, market.token_of(person), actor_token=given, actor_token_type=ACCESS_TOKEN)
    _refused(twice, "invalid_request")


def test_t_18_a_token_for_one_tool_is_no_good_at_another(market: Market) -> None:
    person, agent = market.allowed("notes.*", "clock.*"), market.worker("notes.*", "clock.*")
    mount = f"{market.base}/servers/notes/mcp"
    given = market.exchanged(agent, market.token_of(person, resource=mount), scope="notes.add")["access_token"]
    assert market.tools(given, "/servers/notes/mcp") == {"add"}
    assert market.call(given, "/servers/clock/mcp") == 401
    assert market.call(given) == 401
    portal = market.exchanged(agent, market.token_of(person), scope="notes.add")["access_token"]
    answer = market.ask(portal, "tools/call", name="clock_now", arguments={})
    assert answer.status_code == 403, answer.text


def test_t_18_it_is_nothing_to_the_authorization_server(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    given = market.exchanged(agent, market.token_of(person), scope="notes.add")["access_token"]
    code = {"grant_type": "authorization_code", "code": given, "redirect_uri": "https://x.example/"}
    for form in ({"grant_type": "refresh_token", "refresh_token": given}, code):
        assert market.token(form, (agent[0].id, agent[1])).status_code in {400, 401}
    with market.http() as http:
        headers = {"authorization": f"Bearer {given}"}
        answer = http.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=headers)
        assert error_of(answer) == (400, "invalid_request")


def test_t_11_nothing_lives_longer_than_five_minutes(market: Market) -> None:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    delegation = market.delegate(person, agent[0], "notes.*", life=100 * 86400)
    for subject, kind in ((delegation, DELEGATION), (market.token_of(person), ACCESS_TOKEN)):
        claims = claims_of(market.exchanged(agent, subject, kind)["access_token"])
        assert claims["exp"] - claims["iat"] <= 120


def test_t_20_whatever_is_disabled_leads_to_no_token(market: Market) -> None:
    for kind in (ACCESS_TOKEN, DELEGATION):
        _person_is_disabled(market, kind)
        _tool_drifts(market, kind)
        _rule_is_taken_away(market, kind)


def test_t_20_a_server_that_is_suspended_is_no_target(market: Market) -> None:
    person, agent = market.allowed("gone.*"), market.worker("gone.*")
    mount = market.mount("gone")
    market.offer("gone", "tool")
    token = market.token_of(person, resource=mount)
    delegation = market.delegate(person, agent[0], "gone.*")
    market.change_server("gone", ServerState.SUSPENDED)
    for subject, kind in ((token, ACCESS_TOKEN), (delegation, DELEGATION)):
        refused = market.exchange(agent, subject, kind, resource=mount)
        assert error_of(refused) == (400, "invalid_target")


def _person_is_disabled(market: Market, kind: str) -> None:
    person, agent, subject = _held(market, kind)
    market.disable(person)
    assert error_of(market.exchange(agent, subject, kind)) == (400, "invalid_grant")


def _tool_drifts(market: Market, kind: str) -> None:
    name = f"drifting{time.monotonic_ns()}"
    market.offer("notes", name)
    _, agent, subject = _held(market, kind)
    assert market.exchanged(agent, subject, kind, scope=f"notes.{name}")
    market.drift("notes", name)
    assert error_of(market.exchange(agent, subject, kind, scope=f"notes.{name}")) == (400, "invalid_scope")


def _rule_is_taken_away(market: Market, kind: str) -> None:
    person, _, subject = _held(market, kind)
    agent = market.worker()
    market.allow(agent[0], "notes.add")
    subject = market.token_of(person) if kind == ACCESS_TOKEN else market.delegate(person, agent[0], "notes.*")
    assert market.exchanged(agent, subject, kind)["scope"] == "notes.add"
    market.allow(agent[0], "notes.add", effect="deny")
    assert error_of(market.exchange(agent, subject, kind)) == (400, "invalid_scope")


def _held(market: Market, kind: str) -> tuple[Person, tuple[Client, str], str]:
    person, agent = market.allowed("notes.*"), market.worker("notes.*")
    subject = market.token_of(person) if kind == ACCESS_TOKEN else market.delegate(person, agent[0], "notes.*")
    return person, agent, subject


_PAIR: dict[int, tuple[Person, tuple[Client, str]]] = {}


def _pair(market: Market) -> tuple[Person, tuple[Client, str]]:
    """The same two for many small questions."""
    if id(market) not in _PAIR:
        _PAIR[id(market)] = market.allowed("notes.*"), market.worker("notes.*")
    return _PAIR[id(market)]


def _refused(answer: httpx2.Response, error: str) -> None:
    """And never a token of the client alone."""
    assert error_of(answer) == (400, error)
    assert "access_token" not in answer.json()


def _asked(market: Market, person: Person) -> Minting:
    return Minting(
        issuer=market.base, subject=person.id, client="ostiary-cli", resource=market.resource, scope="mcp", life=300
    )


def _minted(market: Market, ask: Minting) -> str:
    return mint(market.world.snapshots.current.keys, ask).token


def _acted(market: Market, person: Person, *actors: str) -> str:
    """An access token of ours with which others act already."""
    return _minted(market, replace(_asked(market, person), act=actors))


def _old(market: Market, person: Person, seconds: int) -> str:
    """One that was made so long ago."""
    claims = claims_of(_minted(market, _asked(market, person)))
    claims |= {"iat": claims["iat"] - seconds, "exp": claims["exp"] - seconds}
    key = market.world.snapshots.current.keys.signer(time.time())
    return jose.sign(claims, key.private, kid=key.kid, typ="at+jwt")
