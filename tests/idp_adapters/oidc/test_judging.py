"""ID tokens that are not what they should be, and those that are only unusual."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from idp_adapters.contract import IdentityProblem, IdentityRefused, ProviderDown
from idp_adapters.oidc.judging import LOGOUT_EVENT
from tests.fakes.providers.issuers import Signer
from tests.fakes.providers.openid import CLIENT
from tests.idp_adapters.relying import Relying, changed

if TYPE_CHECKING:
    from collections.abc import Callable


NONE = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}


def forged_with_another_key(oidc: Relying) -> Callable[[dict[str, Any]], str]:
    return Signer("k1", "RS256").sign


def forged_without_a_signature(oidc: Relying) -> Callable[[dict[str, Any]], str]:
    def none(claims: dict[str, Any]) -> str:
        signed: str = oidc.provider.sign(claims)
        return f"{NONE}.{signed.split('.')[1]}."

    return none


def forged_with_an_algorithm_that_is_not_listed(oidc: Relying) -> Callable[[dict[str, Any]], str]:
    oidc.provider.published = [signer := Signer("k9", "RS512")]
    return signer.sign


def forged_by_changing_a_claim(oidc: Relying) -> Callable[[dict[str, Any]], str]:
    def change(claims: dict[str, Any]) -> str:
        head, _, signature = oidc.provider.sign(claims).split(".")
        return ".".join((head, oidc.provider.sign(claims | {"sub": "sub-bob"}).split(".")[1], signature))

    return change


def typed(typ: str) -> Callable[[Relying], Callable[[dict[str, Any]], str]]:
    return lambda oidc: lambda claims: oidc.provider.signer.sign(claims, typ)


@pytest.mark.parametrize(
    "forge",
    [
        forged_with_another_key,
        forged_without_a_signature,
        forged_with_an_algorithm_that_is_not_listed,
        forged_by_changing_a_claim,
        typed("at+jwt"),
        typed("logout+jwt"),
        lambda oidc: lambda claims: "not.a.token",
        lambda oidc: lambda claims: "x" * 40_000,
    ],
)
def test_a_forged_id_token_is_refused(oidc, forge):
    oidc.provider.forge = forge(oidc)
    with pytest.raises(IdentityProblem):
        oidc.sign_in()
    assert not oidc.provider.asked("/userinfo")


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "an issuer with a slash": {"iss": lambda claims: claims["iss"] + "/"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "other"},
    "a list of other audiences": {"aud": ["other", "third"]},
    "an audience that is no text": {"aud": [CLIENT, 7]},
    "no audience": {"aud": None},
    "an empty audience": {"aud": []},
    "two audiences without azp": {"aud": [CLIENT, "other"]},
    "issued to another": {"azp": "other"},
    "azp that is no text": {"azp": [CLIENT]},
    "expired": {"exp": lambda claims: claims["iat"] - 120},
    "no expiry": {"exp": None},
    "an expiry that is text": {"exp": "9999999999"},
    "an expiry that is true": {"exp": True},
    "no time of issue": {"iat": None},
    "issued tomorrow": {"iat": lambda claims: claims["iat"] + 86400, "exp": lambda claims: claims["iat"] + 90000},
    "issued an hour ago": {"iat": lambda claims: claims["iat"] - 3600},
    "not valid yet": {"nbf": lambda claims: claims["iat"] + 3600},
    "no nonce": {"nonce": None},
    "another nonce": {"nonce": "another"},
    "a nonce that is no text": {"nonce": 7},
    "no subject": {"sub": None},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 7},
    "a long subject": {"sub": "x" * 256},
    "a subject of two lines": {"sub": "alice\nbob"},
    "an event": {"events": {LOGOUT_EVENT: {}}},
    "the hash of another access token": {"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"},
    "an at_hash that is no text": {"at_hash": 7},
    "signed in tomorrow": {"auth_time": lambda claims: claims["iat"] + 86400},
    "a time of sign-in that is text": {"auth_time": "now"},
    "groups that are objects": {"groups": [{"name": "admins"}]},
    "a group that is a book": {"groups": ["x" * 257]},
    "groups that are elsewhere": {"_claim_names": {"groups": "src1"}},
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_an_id_token_with_a_bad_claim_is_refused(oidc, case):
    oidc.provider.twist = changed(**BAD_CLAIMS[case])
    with pytest.raises(IdentityRefused):
        oidc.sign_in()


GOOD_CLAIMS: dict[str, dict[str, Any]] = {
    "nothing special": {},
    "an audience in a list": {"aud": [CLIENT]},
    "two audiences and azp": {"aud": [CLIENT, "other"], "azp": CLIENT},
    "times with fractions": {"iat": lambda claims: claims["iat"] + 0.5},
    "a clock that is half a minute ahead": {"iat": lambda claims: claims["iat"] + 30},
    "expired half a minute ago": {"exp": lambda claims: claims["iat"] - 30},
    "no time of sign-in": {"auth_time": None},
    "one group that is no list": {"groups": "devs"},
}


@pytest.mark.parametrize("case", GOOD_CLAIMS)
def test_an_id_token_that_is_only_unusual_is_accepted(oidc, case):
    oidc.provider.twist = changed(**GOOD_CLAIMS[case])
    assert "devs" in oidc.sign_in().groups


def test_an_answer_without_an_id_token_is_nobody(oidc):
    oidc.provider.forge = lambda _: ""
    with pytest.raises(ProviderDown, match="without an ID token"):
        oidc.sign_in()
