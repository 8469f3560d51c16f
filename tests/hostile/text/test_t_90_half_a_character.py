"""T-90: JSON can name half a character, and a null; no table has either, and no lookup breaks over them."""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.oauth.evidence import CLIENT_ASSERTION, JWT_BEARER
from tests.fakes.providers.issuers import Signer
from tests.gateway.scim.conftest import GROUP, PATCH, USER, Client, client

if TYPE_CHECKING:
    import httpx2

    from tests.gateway.oauth.house import House

BAD = {"half a character": "a\ud800", "a null": "a\0"}
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


@pytest.fixture(scope="module")
def corp(house: House) -> Client:
    return client(house, "corp")


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return f"{'.'.join(parts)}.AAAA"


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("typ", ["JWT", "oauth-id-jag+jwt"])
def test_t_90_an_assertion_that_names_what_no_table_has_is_refused_like_any_other(
    house: House, bad: str, typ: str
) -> None:
    forged = unsigned({"alg": "ES256", "typ": typ}, {"iss": bad, "sub": bad})
    asserted = {"client_assertion_type": CLIENT_ASSERTION, "client_assertion": forged}

    as_client = house.token({"grant_type": "client_credentials", **asserted})
    as_grant = house.token({"grant_type": JWT_BEARER, "assertion": forged})
    revoking = house.post("/oauth/revoke", {"token": "x", **asserted})

    assert (as_client.status_code, as_client.json()["error"]) == (401, "invalid_client")
    assert (as_grant.status_code, as_grant.json()["error"]) == (400, "invalid_grant")
    assert revoking.status_code == 401


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_t_90_a_proof_whose_name_no_table_has_is_refused_like_any_other(house: House, bad: str) -> None:
    from joserfc import jws

    key = Signer("k").key
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {"htm": "POST", "htu": f"{house.base}/oauth/token", "iat": int(time.time()), "jti": bad}
    proof = jws.serialize_compact(header, json.dumps(claims).encode(), key, ["ES256"])
    agent, secret = house.agent()

    with house.http() as http:
        form = {"grant_type": "client_credentials"}
        answer = http.post("/oauth/token", data=form, auth=(agent.id, secret), headers={"dpop": proof})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
@pytest.mark.parametrize("name", ["userName", "externalId", "displayName", "title"])
def test_t_90_a_person_is_not_provisioned_with_what_no_table_has(corp: Client, bad: str, name: str) -> None:
    said = {"schemas": [USER], "userName": f"u{secrets.token_hex(4)}", name: bad}

    assert send(corp, "POST", "/Users", said).status_code == 400


@pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))
def test_t_90_nor_is_anything_else_named_so(corp: Client, bad: str) -> None:
    made = corp.user(f"u{secrets.token_hex(4)}")
    change = {"op": "replace", "path": "displayName", "value": bad}

    answers = [
        send(corp, "POST", "/Groups", {"schemas": [GROUP], "displayName": bad}),
        send(corp, "POST", "/Groups", {"schemas": [GROUP], "displayName": "g", "members": [{"value": bad}]}),
        send(corp, "PATCH", f"/Users/{made['id']}", {"schemas": [PATCH], "Operations": [change]}),
        send(corp, "POST", "/Users/.search", {"schemas": [SEARCH], "filter": f'userName eq "{bad}"'}),
        send(corp, "POST", "/Users/.search", {"schemas": [SEARCH], "filter": f"userName eq {json.dumps(bad)}"}),
    ]

    assert [answer.status_code for answer in answers] == [400] * len(answers)


@pytest.mark.parametrize("number", ["99999999999999999999", "-99999999999999999999"])
def test_t_90_a_number_that_no_database_can_count_to_is_a_page_without_people(corp: Client, number: str) -> None:
    answer = corp.ask("GET", f"/Users?startIndex={number}&count={number}")

    assert answer.status_code == 200, answer.text


def test_t_90_an_expression_that_would_be_read_for_a_minute_is_not_read(corp: Client) -> None:
    long = " or ".join(['userName eq "a"'] * 1000)
    made = corp.user(f"u{secrets.token_hex(4)}")
    operations = [{"op": "replace", "path": f"emails[{long}]", "value": "x"}, {"op": "add", "value": {f"x[{long}]": 1}}]

    asked: list[tuple[str, str, dict[str, Any]]] = [("POST", "/Users/.search", {"schemas": [SEARCH], "filter": long})]
    asked += [("PATCH", f"/Users/{made['id']}", {"schemas": [PATCH], "Operations": [one]}) for one in operations]
    answers = [send(corp, *one) for one in asked]

    assert [(answer.status_code, answer.json()["scimType"]) for answer in answers] == [(400, "invalidFilter")] * 3


def send(corp: Client, method: str, path: str, said: dict[str, Any]) -> httpx2.Response:
    """As JSON that spells every character out: libraries refuse to send half of one."""
    headers = {"authorization": f"Bearer {corp.token}", "content-type": "application/scim+json"}
    with corp.house.http() as http:
        return http.request(method, f"/scim/v2{path}", content=json.dumps(said).encode(), headers=headers)
