"""Attacks on the way from the browser to the first token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlmodel import select

from authz.fingerprints import fingerprint
from authz.tables import Code, Consent
from tests.gateway.oauth.house import LOOPBACK, REDIRECT, House, answer_of, hidden_fields, pkce


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge": None},
        {"code_challenge": None, "code_challenge_method": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": "a" * 42},
        {"code_challenge": "a" * 129},
        {"code_challenge": "a" * 42 + "!"},
        {"code_challenge": ""},
    ],
)
def test_t_22_without_a_proper_challenge_there_is_no_code(house: House, change: dict[str, Any]) -> None:
    with house.browser(house.person()) as browser:
        answered = answer_of(browser.authorize(house.client(), **change))

    assert answered["error"] == "invalid_request"
    assert "code" not in answered


@pytest.mark.parametrize("verifier", ["", "a" * 42, "b" * 64, "a" * 129, "ü" * 50])
def test_t_22_the_wrong_verifier_gets_nothing(house: House, verifier: str) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person(), client, proof)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": client.id}

    answer = house.token(form | ({"code_verifier": verifier} if verifier else {}))

    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_request", "invalid_grant"}


def test_t_22_a_confidential_client_needs_the_proof_as_well(house: House) -> None:
    client, secret = house.confidential()
    proof = pkce()
    code = house.code(house.person(), client, proof)
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}

    assert house.token(form, (client.id, secret)).json()["error"] == "invalid_request"
    assert house.token(form | {"code_verifier": proof.verifier}, (client.id, secret)).status_code == 200


HTTPS = "https://app.example/callback"
VARIANTS = [
    "https://app.example/callback/", "https://app.example/callback2", "https://app.example/callbac",
    "https://app.example/", "https://app.example", "https://app.example/callback?x=1", "https://app.example/callback?",
    "https://app.example/callback#f", "https://app.example/callback#", "https://app.example/Callback",
    "https://APP.example/callback", "HTTPS://app.example/callback", "https://app.example:443/callback",
    "https://app.example:8443/callback", "https://app.example./callback", "https://app.example.evil.example/callback",
    "https://evil.example/callback", "https://evil.example/https://app.example/callback",
    "https://app.example@evil.example/callback", "https://user@app.example/callback", "https://user:pw@app.example/callback",
    "https://evil.example\\@app.example/callback", "https://app.example\\callback", "https:/app.example/callback",
    "https:app.example/callback", "//app.example/callback", "/callback", "http://app.example/callback",
    "https://app.example/%63allback", "https://app.example/%2e%2e/callback", "https://app.example/x/../callback",
    "https://app.example/./callback", "https://app.example//callback", " https://app.example/callback",
    "https://app.example/callback ", "https://app.example/callback\t", "https://app.example/call\nback",
    "https://app.example/callback%00", "https://\u0430pp.example/callback", "https://xn--pp-ixa.example/callback",
    "javascript:alert(1)//https://app.example/callback", "data:text/html,https://app.example/callback",
    "http://127.0.0.1@evil.example:33418/callback", "http://127.0.0.1.evil.example:33418/callback",
    "http://localhost:33418/callback", "http://[::1]:33418/callback", "http://127.0.0.1:33418/callback2",
    "http://127.0.0.1:33418/callback?x", "http://127.1:33418/callback", "http://2130706433:33418/callback",
    "http://0x7f.0.0.1:33418/callback", "http://127.0.0.1:0/callback", "http://127.0.0.1:99999/callback",
    "http://127.0.0.1:033418/callback", "http://127.0.0.1:/callback", "https://127.0.0.1:33418/callback",
    "http://127.0.0.1:33418@evil.example/callback", "http://127.0.0.1:33418\\@evil.example/callback",
    "HTTP://127.0.0.1:33418/callback", "",
]  # fmt: skip


def test_t_23_there_are_enough_variants() -> None:
    assert len(set(VARIANTS)) >= 40


def test_t_23_no_variant_of_a_redirect_leads_anywhere(house: House) -> None:
    client = house.client(HTTPS, LOOPBACK)
    with house.browser(house.person()) as browser:
        for variant in VARIANTS:
            answer = browser.authorize(client, redirect_uri=variant)
            assert answer.status_code == 400, variant
            assert "location" not in answer.headers, variant


def test_t_23_before_sign_in_no_variant_leads_anywhere_either(house: House) -> None:
    client = house.client(HTTPS, LOOPBACK)
    with house.browser() as browser:
        for variant in VARIANTS:
            assert browser.authorize(client, redirect_uri=variant).status_code == 400, variant


@pytest.mark.parametrize("port", ["", ":1", ":80", ":33419", ":65535"])
def test_t_23_a_loopback_redirect_may_have_another_port(house: House, port: str) -> None:
    uri = f"http://127.0.0.1{port}/callback"
    with house.browser(house.person()) as browser:
        answer = browser.consent(house.client(HTTPS, LOOPBACK), redirect_uri=uri)

    assert answer.headers["location"].startswith(f"{uri}?code=")


def test_t_23_an_unknown_client_leads_nowhere(house: House) -> None:
    with house.browser(house.person()) as browser:
        for client in ("nobody", "", "' OR 1=1 --", "x" * 5000):
            answer = browser.authorize(client)
            assert answer.status_code == 400
            assert "location" not in answer.headers


def test_t_26_a_code_is_good_once_and_then_ends_what_it_gave(house: House) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person("replayed"), client, proof)
    first = house.redeem(client, code, proof).json()

    second = house.redeem(client, code, proof)

    assert second.json()["error"] == "invalid_grant"
    assert house.refresh(client, first["refresh_token"]).json()["error"] == "invalid_grant"
    house.until_call(first["access_token"], 401)
    assert "user:replayed" in [record["who"] for record in house.records("token.reuse")]


def test_t_26_of_twenty_at_once_one_succeeds(house: House) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person(), client, proof)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: house.redeem(client, code, proof), range(20)))

    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert {answer.json()["error"] for answer in answers if answer not in good} == {"invalid_grant"}
    house.until_call(good[0].json()["access_token"], 401)


def test_t_26_a_code_is_its_clients_and_its_redirects_alone(house: House) -> None:
    owner, thief, proof = house.client(), house.client(), pkce()
    code = house.code(house.person(), owner, proof)

    assert house.redeem(thief, code, proof).json()["error"] == "invalid_grant"
    assert house.redeem(owner, code, proof, redirect_uri=LOOPBACK).json()["error"] == "invalid_grant"
    assert house.redeem(owner, code, proof).status_code == 200


def test_t_26_a_code_is_good_for_a_minute(house: House) -> None:
    client, proof = house.client(), pkce()
    code = house.code(house.person(), client, proof)
    with house.office.database.change() as session:
        session.get_one(Code, fingerprint(code)).expires_at -= 61

    assert house.redeem(client, code, proof).json()["error"] == "invalid_grant"


def test_t_27_what_was_allowed_to_one_client_is_asked_for_another(house: House) -> None:
    person = house.person()
    house.tokens(person, house.client())
    with house.browser(person) as browser:
        answer = browser.authorize(house.client())

    assert answer.status_code == 200
    assert "Connect An app?" in answer.text


def test_t_28_the_consent_page_cannot_be_framed(house: House) -> None:
    with house.browser(house.person()) as browser:
        headers = browser.authorize(house.client()).headers

    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_t_28_an_answer_that_no_page_of_ours_sent_is_refused(house: House) -> None:
    person, client = house.person(), house.client()
    with house.browser(person) as browser:
        page = browser.authorize(client)
        fields = hidden_fields(page.text) | {"answer": "allow"}
        for change in ({"csrf": ""}, {"csrf": "0" * 64}):
            assert browser.http.post("/oauth/consent", data=fields | change).status_code == 403
        without = {name: value for name, value in fields.items() if name != "csrf"}
        assert browser.http.post("/oauth/consent", data=without).status_code == 403
        assert browser.answer(page, **{"sec-fetch-site": "cross-site"}).status_code == 403
        assert browser.answer(page, origin="https://evil.example").status_code == 403
    with house.office.database.read() as session:
        assert session.exec(select(Consent).where(Consent.person == person.id)).all() == []


def test_t_28_a_question_that_was_changed_is_not_answered(house: House) -> None:
    with house.browser(house.person()) as browser:
        fields = hidden_fields(browser.authorize(house.client()).text) | {"answer": "allow"}
        sealed = fields["request"]
        for changed in ("", "00", sealed[:-2], sealed[:-2] + ("00" if sealed[-2:] != "00" else "11"), "zz"):
            answer = browser.http.post("/oauth/consent", data=fields | {"request": changed})
            assert answer.status_code == 400
            assert "location" not in answer.headers
