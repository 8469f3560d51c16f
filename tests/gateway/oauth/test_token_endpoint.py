"""The token endpoint besides the code flow: agents, credentials, errors; and what we say of ourselves."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from authz import jose

if TYPE_CHECKING:
    from tests.gateway.oauth.house import House


def test_an_agent_asks_as_itself(house: House) -> None:
    agent, secret = house.agent("nightly")

    given = house.token({"grant_type": "client_credentials", "resource": house.resource}, (agent.id, secret)).json()

    assert given["scope"] == "mcp"
    assert "refresh_token" not in given
    assert house.call(given["access_token"]) == 200
    key = house.world.snapshots.current.keys
    token = given["access_token"].encode()
    claims = jose.verify(token, key.keys[jose.read_header(token)["kid"]].public)
    assert (claims["sub"], claims["client_id"]) == (agent.id, agent.id)
    assert [record["who"] for record in house.records("token.issued") if record["client"] == agent.id] == [
        "agent:nightly"
    ]


def test_an_agent_may_send_its_secret_in_the_form(house: House) -> None:
    agent, secret = house.agent()
    form = {"grant_type": "client_credentials", "client_id": agent.id, "client_secret": secret, "scope": "notes.*"}

    assert house.token(form).json()["scope"] == "notes.*"


def test_a_wrong_secret_is_refused_with_401_and_on_record(house: House) -> None:
    agent, _ = house.agent()

    answer = house.token({"grant_type": "client_credentials"}, (agent.id, "wrong"))

    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert agent.id in house.everything_written()
    assert "wrong" not in house.everything_written()


def test_a_client_for_people_cannot_ask_as_itself(house: House) -> None:
    client, secret = house.confidential()

    answer = house.token({"grant_type": "client_credentials"}, (client.id, secret))

    assert answer.json()["error"] == "unauthorized_client"


def test_an_agent_cannot_use_the_code_flow(house: House) -> None:
    agent, _ = house.agent()
    with house.browser(house.person()) as browser:
        assert browser.authorize(agent).status_code == 400


@pytest.mark.parametrize(
    "scope", ["openid", "mcp  notes.*", "notes", "notes.", ".x", "Notes.*", "a.b c.d " * 20, "x" * 9000]
)
def test_scopes_that_are_not_ours_are_refused(house: House, scope: str) -> None:
    agent, secret = house.agent()

    answer = house.token({"grant_type": "client_credentials", "scope": scope}, (agent.id, secret))

    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_scope", "invalid_request"}


@pytest.mark.parametrize(
    "resource", ["https://elsewhere.example/mcp", "/mcp", "http://127.0.0.1/mcp", "mcp", "x" * 3000]
)
def test_resources_that_are_not_ours_are_refused(house: House, resource: str) -> None:
    agent, secret = house.agent()

    answer = house.token({"grant_type": "client_credentials", "resource": resource}, (agent.id, secret))

    assert answer.json()["error"] == "invalid_target"


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "unsupported_grant_type"),
        (b"grant_type=password&username=a&password=b", 400, "unsupported_grant_type"),
        (b"grant_type=%22%5c", 400, "unsupported_grant_type"),
        (b"grant_type=%00", 400, "invalid_request"),
        (b"grant_type=authorization_code&grant_type=refresh_token", 400, "invalid_request"),
        (b"grant_type=authorization_code&code=x", 401, "invalid_client"),
        (b"grant_type=authorization_code&code=x&client_id=nobody", 401, "invalid_client"),
        (b"grant_type=authorization_code&code=%ff&client_id=nobody", 400, "invalid_request"),
        (b"\xff\xfe", 400, "invalid_request"),
        (b"&" * 1000, 400, "invalid_request"),
    ],
)
def test_malformed_requests_are_answered_in_the_words_of_the_standard(
    house: House, body: bytes, status: int, error: str
) -> None:
    with house.http() as http:
        answer = http.post("/oauth/token", content=body, headers={"content-type": "application/x-www-form-urlencoded"})

    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_another_kind_of_body_is_refused(house: House, kind: str) -> None:
    with house.http() as http:
        answer = http.post("/oauth/token", content=b"grant_type=x", headers={"content-type": kind})

    assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")
    assert house.records("refused")[-1]["reason"] == "oauth.invalid_request"


@pytest.mark.parametrize(
    "header", ["Basic", "Basic !!!", "Basic /w==", "Bearer x", "Basic eA==", "Basic AGE6Yg==", "Digest a=b", "x"]
)
def test_credentials_that_cannot_be_read_are_refused(house: House, header: str) -> None:
    with house.http() as http:
        answer = http.post("/oauth/token", data={"grant_type": "client_credentials"}, headers={"authorization": header})

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_credentials_in_two_places_are_refused(house: House) -> None:
    agent, secret = house.agent()
    form = {"grant_type": "client_credentials", "client_id": agent.id, "client_secret": secret}

    assert house.token(form, (agent.id, secret)).json()["error"] == "invalid_request"
    del form["client_secret"]
    assert house.token(form, ("somebody_else", secret)).json()["error"] == "invalid_request"
    assert house.token(form, (agent.id, secret)).status_code == 200


def test_two_ways_to_describe_the_server_agree(house: House) -> None:
    with house.http() as http:
        oauth = http.get("/.well-known/oauth-authorization-server").json()
        openid = http.get("/.well-known/openid-configuration").json()

    assert oauth["issuer"] == house.base
    assert oauth["code_challenge_methods_supported"] == ["S256"]
    assert oauth["scopes_supported"] == ["mcp"]
    assert oauth["client_id_metadata_document_supported"] is True
    assert oauth["authorization_response_iss_parameter_supported"] is True
    assert oauth.items() <= openid.items()
    assert openid["subject_types_supported"] == ["public"]


def test_each_resource_describes_itself_at_both_addresses(house: House) -> None:
    with house.http() as http:
        root = http.get("/.well-known/oauth-protected-resource").json()
        portal = http.get("/.well-known/oauth-protected-resource/mcp").json()
        mount = http.get("/.well-known/oauth-protected-resource/servers/notes/mcp").json()

    assert root == portal
    assert portal["resource"] == house.resource
    assert portal["authorization_servers"] == [house.base]
    assert mount["resource"] == f"{house.base}/servers/notes/mcp"


def test_nobody_learns_from_the_metadata_which_servers_there_are(house: House) -> None:
    with house.http() as http:
        known = http.get("/.well-known/oauth-protected-resource/servers/notes/mcp")
        unknown = http.get("/.well-known/oauth-protected-resource/servers/payroll/mcp")
        neither = http.get("/.well-known/oauth-protected-resource/etc/passwd")

    assert known.text.replace("notes", "payroll") == unknown.text
    assert neither.status_code == 404


@pytest.mark.parametrize(
    "path", ["/oauth/token", "/oauth/register", "/oauth/revoke", "/.well-known/oauth-authorization-server"]
)
def test_browser_clients_may_come_from_anywhere(house: House, path: str) -> None:
    with house.http() as http:
        headers = {"origin": "http://localhost:6274", "access-control-request-method": "POST"}
        answer = http.options(path, headers=headers)

    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


def test_the_key_set_has_public_halves_only(house: House) -> None:
    with house.http() as http:
        keys = http.get("/oauth/jwks").json()["keys"]

    assert keys
    assert all(key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in keys)


def test_the_library_underneath_logs_no_token(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    given = house.tokens(house.person(), house.client())

    assert given["access_token"] not in caplog.text
    assert given["refresh_token"] not in caplog.text
