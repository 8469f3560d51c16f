"""Clients that prove who they are with a signature (RFC 7523 section 2.2)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.oauth.evidence import CLIENT_ASSERTION
from tests.fakes.providers.issuers import Signer

if TYPE_CHECKING:
    import httpx2

    from authz.tables import Client
    from tests.gateway.oauth.house import House

NOW = int(time.time())


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


def agent_that_signs(house: House, signer: Signer) -> Client:
    agent, _ = house.agent()
    with house.office.database.change() as session:
        session.add(agent)
        agent.auth_method, agent.secret_hash, agent.keys = "private_key_jwt", "", signer.jwks
    return agent


def ask(house: House, assertion: str, **more: str) -> httpx2.Response:
    form = {"grant_type": "client_credentials", "client_assertion_type": CLIENT_ASSERTION}
    return house.token({**form, "client_assertion": assertion, **more})


def test_an_agent_that_signs_gets_a_token_and_no_secret_is_needed(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)

    given = ask(house, signer.assertion(iss=agent.id, sub=agent.id, aud=f"{house.base}/oauth/token"))

    assert given.status_code == 200, given.text
    assert house.call(given.json()["access_token"]) == 200


def test_our_issuer_is_an_audience_too(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)

    assert ask(house, signer.assertion(iss=agent.id, sub=agent.id, aud=[house.base])).status_code == 200


def test_an_assertion_counts_once_also_when_twenty_present_it_at_once(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)
    assertion = signer.assertion(iss=agent.id, sub=agent.id, aud=house.base)

    with ThreadPoolExecutor(20) as threads:
        got = sorted(answer.status_code for answer in threads.map(lambda _: ask(house, assertion), range(20)))

    assert got == [200] + [401] * 19


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "cl_somebody"},
        {"sub": "cl_somebody"},
        {"aud": "https://other.example"},
        {"aud": ["HOUSE", "https://other.example"]},
        {"aud": None},
        {"exp": NOW - 60},
        {"exp": NOW + 86400},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"iat": NOW + 3600, "exp": NOW + 3700},
        {"nbf": NOW + 3600},
        {"jti": None},
        {"jti": ""},
    ],
    ids=" ".join,
)
def test_an_assertion_that_is_not_quite_right_is_no_credential(
    house: House, signer: Signer, claims: dict[str, Any]
) -> None:
    agent = agent_that_signs(house, signer)
    right: dict[str, Any] = {"iss": agent.id, "sub": agent.id, "aud": house.base}
    if isinstance(claims.get("aud"), list):
        claims = {"aud": [house.base, *claims["aud"][1:]]}

    answer = ask(house, signer.assertion(**(right | claims)))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_signature_of_another_key_under_the_same_name_is_no_credential(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)
    forged = Signer(signer.kid).assertion(iss=agent.id, sub=agent.id, aud=house.base)

    assert ask(house, forged).json()["error"] == "invalid_client"


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", "logout+jwt"])
def test_a_token_for_another_purpose_is_no_credential(house: House, signer: Signer, typ: str) -> None:
    agent = agent_that_signs(house, signer)

    answer = ask(house, signer.assertion(typ, iss=agent.id, sub=agent.id, aud=house.base))

    assert answer.json()["error"] == "invalid_client"


def test_a_client_with_a_secret_cannot_be_signed_for(house: House, signer: Signer) -> None:
    agent, _ = house.agent()

    assert ask(house, signer.assertion(iss=agent.id, sub=agent.id, aud=house.base)).status_code == 401


def test_a_client_that_signs_cannot_leave_the_signature_away(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)

    assert house.token({"grant_type": "client_credentials", "client_id": agent.id}).status_code == 401


def test_an_assertion_and_a_secret_at_once_are_refused(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)
    assertion = signer.assertion(iss=agent.id, sub=agent.id, aud=house.base)

    assert ask(house, assertion, client_secret="x").json()["error"] == "invalid_request"
    form = {"grant_type": "client_credentials", "client_assertion_type": CLIENT_ASSERTION, "client_assertion": "x.y.z"}
    assert house.token(form, (agent.id, "x")).json()["error"] == "invalid_request"


def test_an_assertion_of_an_unknown_type_is_not_ignored(house: House) -> None:
    agent, secret = house.agent()
    form = {"grant_type": "client_credentials", "client_id": agent.id, "client_secret": secret}

    assert house.token(form | {"client_assertion_type": "saml", "client_assertion": "x"}).status_code == 400


def test_no_assertion_reaches_the_record(house: House, signer: Signer) -> None:
    agent = agent_that_signs(house, signer)
    good, bad = (signer.assertion(iss=agent.id, sub=agent.id, aud=aud) for aud in (house.base, "https://x.example"))

    ask(house, good), ask(house, bad)

    written = house.everything_written()
    assert agent.id in written
    assert not any(part in written for token in (good, bad) for part in token.split(".")[1:])
