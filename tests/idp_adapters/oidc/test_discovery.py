"""What a provider says about itself, and its keys: fetched seldom, and never believed blindly."""

from __future__ import annotations

import time
from typing import Any

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from tests.fakes.providers.issuers import Signer
from tests.fakes.providers.openid import Reply
from tests.idp_adapters.relying import Relying, again


def test_a_key_that_was_rotated_is_fetched_once(oidc):
    clock = [time.time()]
    relying = Relying(oidc.provider, equipped={"now": lambda: clock[0]})
    relying.sign_in()
    oidc.provider.rotate()
    with pytest.raises(IdentityRefused):  # just fetched: whoever writes unknown names of keys makes no fetches
        relying.sign_in()
    clock[0] += 11
    assert relying.sign_in()
    assert len(oidc.provider.asked("/jwks")) == 2


def test_forged_tokens_cause_few_fetches(oidc):
    clock = [time.time()]
    relying = Relying(oidc.provider, equipped={"now": lambda: clock[0]})
    oidc.provider.forge = Signer("unknown", "RS256").sign
    for _ in range(20):
        clock[0] += 1
        with pytest.raises(IdentityRefused):
            relying.sign_in()
    assert len(oidc.provider.asked("/jwks")) <= 3


def test_a_key_that_was_withdrawn_counts_for_ten_minutes_at_most(oidc):
    clock = [time.time()]
    relying = Relying(oidc.provider, equipped={"now": lambda: clock[0]})
    relying.sign_in()
    oidc.provider.published = [Signer("k2", "RS256")]
    clock[0] += 601
    oidc.provider.ahead = 601
    with pytest.raises(IdentityRefused):
        relying.sign_in()


def test_a_provider_that_is_down_is_not_asked_by_everybody_at_once(oidc):
    oidc.provider.replies["/.well-known/openid-configuration"] = lambda _: Reply(500, {})
    for _ in range(5):
        with pytest.raises(ProviderDown):
            oidc.depart()
    assert len(oidc.provider.asked("/.well-known/openid-configuration")) == 1


BAD_METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"issuer": "https://evil.example"},
    "no issuer": {"issuer": None},
    "no token endpoint": {"token_endpoint": None},
    "a script to send people to": {"authorization_endpoint": "javascript:alert(1)"},
    "a file to take keys from": {"jwks_uri": "file:///etc/passwd"},
    "an address of two lines": {"end_session_endpoint": "https://idp.example/\nx"},
    "an address that is a list": {"userinfo_endpoint": ["https://idp.example"]},
}


@pytest.mark.parametrize("case", BAD_METADATA)
def test_a_discovery_document_that_is_not_right_leads_nobody_anywhere(oidc, case):
    oidc.provider.metadata = BAD_METADATA[case]
    with pytest.raises(ProviderDown):
        oidc.depart()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"{", b"\xff", b'{"issuer":' * 5000, b"<html>", b"{}" + b" " * 300_000]
)
def test_odd_documents_are_a_provider_that_is_down(oidc, body):
    for path in ("/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"):
        oidc.provider.replies = {path: lambda _: Reply(200, body)}
        with pytest.raises(ProviderDown):
            again(oidc).sign_in()


@pytest.mark.parametrize("keys", [None, {}, [], [7], [{"kty": "oct", "k": "c2VjcmV0"}] * 65])
def test_a_key_set_without_usable_keys_is_a_provider_that_is_down(oidc, keys):
    oidc.provider.replies["/jwks"] = lambda _: Reply(200, {"keys": keys})
    with pytest.raises(ProviderDown):
        oidc.sign_in()


@pytest.mark.parametrize("status", [302, 401, 404, 500, 503])
def test_userinfo_that_fails_signs_nobody_in(oidc, status):
    oidc.provider.replies["/userinfo"] = lambda _: Reply(status, {"sub": "sub-alice"})
    with pytest.raises(ProviderDown):
        oidc.sign_in()
