"""From a click in a client to a token, the whole way over a socket."""

from __future__ import annotations

from typing import Any

from authz import jose
from tests.gateway.oauth.house import LOOPBACK, REDIRECT, House, answer_of, hidden_fields, pkce


def test_a_person_who_consents_gets_a_token_that_opens_the_portal(house: House) -> None:
    person, client = house.person(), house.client()

    given = house.tokens(person, client)

    assert given["token_type"] == "Bearer"
    assert given["scope"] == "mcp"
    assert given["expires_in"] == 300
    assert given["refresh_token"]
    assert house.call(given["access_token"]) == 200


def test_the_token_says_who_for_what_and_for_how_long(house: House) -> None:
    person, client = house.person(), house.client()

    token = house.tokens(person, client)["access_token"].encode()

    header = jose.read_header(token)
    claims = jose.verify(token, house.world.snapshots.current.keys.keys[header["kid"]].public)
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert claims["iss"] == house.base
    assert claims["sub"] == person.id
    assert claims["aud"] == house.resource
    assert claims["client_id"] == client.id
    assert claims["exp"] - claims["iat"] == 300
    assert claims["acr"] == "1"
    assert claims["amr"] == ["pwd"]
    assert claims["auth_time"] > 0


def test_the_way_back_carries_state_and_issuer(house: House) -> None:
    with house.browser(house.person()) as browser:
        answered = answer_of(browser.consent(house.client()))

    assert answered.keys() == {"code", "state", "iss"}
    assert answered["state"] == "st&te"
    assert answered["iss"] == house.base


def test_a_refusal_of_the_person_is_told_to_the_client(house: House) -> None:
    client = house.client()
    with house.browser(house.person()) as browser:
        answered = answer_of(browser.answer(browser.authorize(client), "deny"))

    assert answered["error"] == "access_denied"
    assert answered["state"] == "st&te"
    assert answered["iss"] == house.base


def test_whoever_is_not_signed_in_is_asked_to_and_comes_back(house: House) -> None:
    with house.browser() as browser:
        answer = browser.authorize(house.client())

    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/signin?next=%2Foauth%2Fauthorize%3F")


def test_a_consent_to_an_https_redirect_is_remembered_for_exactly_that(house: House) -> None:
    client = house.client()
    with house.browser(house.person()) as browser:
        browser.consent(client)

        assert "code" in answer_of(browser.authorize(client))
        assert browser.authorize(client, scope="notes.*").status_code == 200
        assert browser.authorize(client, resource=f"{house.base}/servers/notes/mcp").status_code == 200
        assert browser.authorize(client, redirect_uri=LOOPBACK).status_code == 200
    with house.browser(house.person()) as another:
        assert another.authorize(client).status_code == 200


def test_a_consent_to_a_loopback_redirect_is_asked_for_each_time(house: House) -> None:
    client = house.client()
    with house.browser(house.person()) as browser:
        browser.consent(client, redirect_uri=LOOPBACK)

        assert browser.authorize(client, redirect_uri=LOOPBACK).status_code == 200


def test_the_consent_page_says_who_asks_for_what_and_where_the_answer_goes(house: House) -> None:
    client = house.client(LOOPBACK, origin="dynamic")
    with house.browser(house.person()) as browser:
        page = browser.authorize(client, redirect_uri=LOOPBACK.replace("33418", "5"), scope="notes.* clock.now")

    assert "An app" in page.text
    assert "http://127.0.0.1:5/callback" in page.text
    assert "use all that you may use of the server notes" in page.text
    assert "use now of the server clock" in page.text
    assert "could call itself anything" in page.text
    assert "Did you just start this yourself?" in page.text
    assert "form-action 'self' http://127.0.0.1:5" in page.headers["content-security-policy"]


def test_a_client_without_the_refresh_grant_gets_no_refresh_token(house: House) -> None:
    client = house.client()
    with house.office.database.change() as session:
        session.merge(client).grant_types = ["authorization_code"]

    assert "refresh_token" not in house.tokens(house.person(), client)


def test_without_resource_and_scope_a_token_is_for_the_default_portal_and_all_of_it(
    house: House,
) -> None:
    person, client, proof = house.person(), house.client(), pkce()
    with house.browser(person) as browser:
        code = answer_of(browser.consent(client, proof, resource=None, scope=None, state=None))["code"]

    given = house.redeem(client, code, proof).json()

    assert given["scope"] == "mcp"
    assert house.call(given["access_token"]) == 200


def test_a_token_for_a_mount_opens_that_mount_alone(house: House) -> None:
    mount = house.mount("notes")
    token = house.tokens(house.person(), house.client(), resource=mount)["access_token"]

    assert house.call(token, "/servers/notes/mcp") == 200
    assert house.call(token) == 401


def test_the_resource_of_the_token_request_must_be_the_one_that_was_allowed(house: House) -> None:
    person, client, proof = house.person(), house.client(), pkce()
    code = house.code(person, client, proof)

    other = house.redeem(client, code, proof, resource=f"{house.base}/servers/notes/mcp")
    same = house.redeem(client, code, proof, resource=f"{house.resource}/")

    assert other.json()["error"] == "invalid_target"
    assert same.status_code == 200


def test_errors_go_to_the_client_once_it_is_proven(house: House) -> None:
    client = house.client()
    cases: dict[str, dict[str, Any]] = {
        "unsupported_response_type": {"response_type": "token"},
        "invalid_scope": {"scope": "openid"},
        "invalid_target": {"resource": "https://elsewhere.example/mcp"},
        "invalid_request": {"code_challenge": None},
    }  # fmt: skip
    with house.browser(house.person()) as browser:
        for error, change in cases.items():
            answered = answer_of(browser.authorize(client, **change))
            assert answered["error"] == error
            assert answered["iss"] == house.base
            assert answered["state"] == "st&te"


def test_a_parameter_given_twice_is_refused_on_our_own_page(house: House) -> None:
    with house.browser(house.person()) as browser:
        answer = browser.http.get(
            f"/oauth/authorize?client_id={house.client().id}&client_id=x&redirect_uri={REDIRECT}&response_type=code"
        )

    assert answer.status_code == 400
    assert "location" not in answer.headers


def test_a_question_put_to_one_person_is_not_answered_by_another(house: House) -> None:
    client = house.client()
    with house.browser(house.person()) as one, house.browser(house.person()) as other:
        asked = one.authorize(client)
        own = other.authorize(client)
        stolen = asked.text.replace(hidden_fields(asked.text)["csrf"], hidden_fields(own.text)["csrf"])
        answer = other.http.post("/oauth/consent", data=hidden_fields(stolen) | {"answer": "allow"})

    assert answer.status_code == 400
    assert "too old" in answer.text


def test_what_is_issued_is_on_record_and_no_secret_is(house: House) -> None:
    person, client, proof = house.person("recorded"), house.client(), pkce()
    code = house.code(person, client, proof)
    given = house.redeem(client, code, proof).json()

    issued = [record for record in house.records("token.issued") if record["who"] == "user:recorded"]
    assert [record["client"] for record in issued] == [client.id]
    assert issued[0]["grant"] == "authorization_code"
    assert [record["scope"] for record in house.records("consent.given") if record["who"] == "user:recorded"] == ["mcp"]
    written = house.everything_written()
    stored = b"".join(file.read_bytes() for file in house.settings.data.glob("ostiary.db*"))
    for secret in (code, given["access_token"], given["refresh_token"], proof.verifier):
        assert secret not in written
        assert secret.encode() not in stored


def test_the_first_addresses_of_the_protocol_lead_to_ours(house: House) -> None:
    with house.http() as http:
        answer = http.get("/authorize?client_id=x")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/oauth/authorize?client_id=x"
    assert house.post("/token", {"grant_type": "nothing"}).json()["error"] == "unsupported_grant_type"
