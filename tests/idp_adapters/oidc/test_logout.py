"""Leaving the provider, and hearing that somebody left it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from idp_adapters.contract import Arrival, IdentityRefused, LoggingOut
from idp_adapters.oidc.judging import LOGOUT_EVENT
from tests.fakes.providers.openid import CLIENT
from tests.idp_adapters.relying import Relying, again


def test_leaving_ends_the_session_there_too(oidc):
    assert isinstance(oidc.adapter, LoggingOut)
    left = oidc.adapter.leave(oidc.sign_in().keep, "http://127.0.0.1:9000/signin/corp/logout", "s1")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(left.url).query).items()}
    assert left.url.startswith(f"{oidc.provider.issuer}/logout?")
    assert asked["post_logout_redirect_uri"] == "http://127.0.0.1:9000/signin/corp/logout"
    assert (asked["state"], asked["client_id"]) == ("s1", CLIENT)
    assert asked["id_token_hint"].count(".") == 2


def test_a_provider_without_a_logout_is_not_asked_for_one(oidc):
    oidc.provider.metadata = {"end_session_endpoint": None}
    assert oidc.adapter.leave(oidc.sign_in().keep, "http://127.0.0.1:9000/", "s1") is None


def logout_token(oidc: Relying, typ: str = "logout+jwt", **claims: Any) -> Arrival:
    now = oidc.provider.now()
    told = {
        "iss": oidc.provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": f"j{time.perf_counter_ns()}",
        "sub": "sub-alice", "sid": "sid-1", "events": {LOGOUT_EVENT: {}},
    } | claims  # fmt: skip
    token = oidc.provider.signer.sign({name: value for name, value in told.items() if value is not None}, typ)
    return Arrival(method="POST", url="http://127.0.0.1:9000/signin/corp/logout", parameters={"logout_token": token})


def test_a_logout_token_ends_a_session_once(oidc):
    arrival = logout_token(oidc)
    ended = oidc.adapter.hear(arrival)
    assert (ended.issuer, ended.subject, ended.session) == (oidc.provider.issuer, "sub-alice", "sid-1")
    with pytest.raises(IdentityRefused, match="heard before"):
        oidc.adapter.hear(arrival)


def test_a_logout_token_names_a_person_or_a_session(oidc):
    assert oidc.adapter.hear(logout_token(oidc, sid=None)).session == ""
    assert oidc.adapter.hear(logout_token(oidc, sub=None)).subject == ""
    with pytest.raises(IdentityRefused):
        oidc.adapter.hear(logout_token(oidc, sub=None, sid=None))


BAD_LOGOUTS: dict[str, dict[str, Any]] = {
    "a nonce": {"nonce": "x"},
    "no events": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "an event that is no object": {"events": {LOGOUT_EVENT: True}},
    "events in a list": {"events": [LOGOUT_EVENT]},
    "no jti": {"jti": None},
    "another audience": {"aud": "other"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1},
    "no expiry": {"exp": None},
    "old": {"iat": 1},
    "a subject that is no text": {"sub": 7},
    "an ID token's type": {"typ": "at+jwt"},
}


@pytest.mark.parametrize("case", BAD_LOGOUTS)
def test_a_logout_token_that_is_not_right_ends_nobody(oidc, case):
    with pytest.raises(IdentityRefused):
        oidc.adapter.hear(logout_token(oidc, **BAD_LOGOUTS[case]))


def test_an_id_token_logs_nobody_out_and_a_logout_token_signs_nobody_in(oidc):
    judge = again(oidc, accepted_clients=[CLIENT])
    identity = oidc.provider.sign(oidc.provider.claims_of("alice") | {"groups": []})
    assert judge.adapter.vouch(identity, "us", "there")
    with pytest.raises(IdentityRefused):
        judge.adapter.hear(Arrival(method="POST", url="x", parameters={"logout_token": identity}))
    for typ in ("logout+jwt", "JWT"):
        with pytest.raises(IdentityRefused):
            judge.adapter.vouch(logout_token(oidc, typ).parameters["logout_token"], "us", "there")


def test_a_browser_that_comes_by_ends_nobody(oidc):
    token = logout_token(oidc).parameters
    for arrival in (
        Arrival(method="GET", url="x", parameters=token),
        Arrival(method="POST", url="x", parameters={"state": "s"}),
    ):
        with pytest.raises(IdentityRefused):
            oidc.adapter.hear(arrival)
