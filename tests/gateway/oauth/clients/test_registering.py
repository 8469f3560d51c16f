"""Clients that register themselves: what they get, and what they may not do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from authz.clients.known import UNUSED_LIFE, load_clients
from authz.tables import Client
from gateway.journal import flood
from gateway.oauth.clients import registering
from tests.gateway.oauth.house import LOOPBACK, REDIRECT, House, answer_of, pkce

if TYPE_CHECKING:
    import httpx2


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests come from one address, and there are many."""
    monkeypatch.setattr(registering, "PER_ADDRESS", 10_000)


def register(house: House, **metadata: Any) -> httpx2.Response:
    said = {"client_name": "An app", "redirect_uris": [LOOPBACK], "token_endpoint_auth_method": "none"} | metadata
    with house.http() as http:
        return http.post("/oauth/register", json={name: value for name, value in said.items() if value is not None})


def test_a_registered_client_gets_through_the_whole_flow(house: House) -> None:
    made = register(house, grant_types=["authorization_code", "refresh_token"], application_type="native")
    assert made.status_code == 201
    given, proof = made.json(), pkce()
    assert given["application_type"] == "native"
    assert "client_secret" not in given

    with house.browser(house.person()) as browser:
        code = answer_of(browser.consent(given["client_id"], proof, redirect_uri=LOOPBACK))["code"]
    client = Client(id=given["client_id"], origin="dynamic")
    token = house.redeem(client, code, proof, LOOPBACK).json()

    assert house.call(token["access_token"]) == 200
    assert house.refresh(client, token["refresh_token"]).status_code == 200


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", None])
def test_a_client_that_can_keep_a_secret_gets_one(house: House, method: str | None) -> None:
    given, proof = register(house, token_endpoint_auth_method=method, redirect_uris=[REDIRECT]).json(), pkce()
    assert given["token_endpoint_auth_method"] == method or "client_secret_basic"
    with house.browser(house.person()) as browser:
        code = answer_of(browser.consent(given["client_id"], proof))["code"]
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": proof.verifier,
    }
    identified = form | {"client_id": given["client_id"]}

    assert house.token(identified).status_code == 401
    assert house.token(identified | {"client_secret": "wrong"}).status_code == 401
    assert house.token(form, (given["client_id"], "wrong")).status_code == 401
    if method == "client_secret_post":
        assert house.token(identified | {"client_secret": given["client_secret"]}).status_code == 200
    else:
        assert house.token(form, (given["client_id"], given["client_secret"])).status_code == 200


def test_a_client_that_nobody_used_is_gone_after_a_day(house: House) -> None:
    client_id = register(house).json()["client_id"]
    with house.office.database.read() as session:
        left = session.get_one(Client, client_id).expires_at
    assert left is not None
    assert abs(left - time.time() - UNUSED_LIFE) < 60
    with house.office.database.change() as session:
        session.get_one(Client, client_id).expires_at = time.time() - 1

    with house.browser(house.person()) as browser:
        assert browser.authorize(client_id, redirect_uri=LOOPBACK).status_code == 400
    with house.office.database.read() as session:
        assert client_id not in load_clients(session)


def test_a_client_that_somebody_connected_stays(house: House) -> None:
    client_id = register(house).json()["client_id"]
    with house.browser(house.person()) as browser:
        browser.consent(client_id, redirect_uri=LOOPBACK)

    with house.office.database.read() as session:
        assert session.get_one(Client, client_id).expires_at is None


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/cb"] * 11}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://u:p@a.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://a.example/" + "c" * 2000]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://ä.example/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [LOOPBACK], "application_type": "web"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["cursor://x/cb"], "application_type": "web"}, "invalid_redirect_uri"),
        ({"redirect_uris": [1]}, "invalid_client_metadata"),
        ({"redirect_uris": "https://a.example/cb"}, "invalid_client_metadata"),
        ({"application_type": "desktop"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"grant_types": ["implicit"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"client_name": ["x"]}, "invalid_client_metadata"),
    ],
)
def test_what_cannot_be_registered_is_said_in_the_words_of_the_standard(
    house: House, metadata: dict[str, Any], error: str
) -> None:
    answer = register(house, **metadata)

    assert (answer.status_code, answer.json()["error"]) == (400, error)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 9000])
def test_what_is_no_json_object_is_no_registration(house: House, body: bytes) -> None:
    with house.http() as http:
        answer = http.post("/oauth/register", content=body)

    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_client_metadata"


def test_nobody_registers_without_end_from_one_address(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registering, "PER_ADDRESS", 0)
    monkeypatch.setattr(flood, "IN_FULL", 10_000)  # one address, and other tests were refused before

    answer = register(house)

    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "600"
    assert house.records("refused")[-1]["reason"] == "oauth.slow_down"


def test_nobody_fills_the_table_from_many_addresses(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    register(house)
    monkeypatch.setattr(registering, "UNUSED_MOST", 1)

    answer = register(house)

    assert answer.status_code == 503
    assert answer.json()["error"] == "temporarily_unavailable"


def test_a_registration_is_on_record(house: House) -> None:
    client_id = register(house).json()["client_id"]

    assert client_id in [record["client"] for record in house.records("client.registered")]
