"""What a sign-in is good for elsewhere: the ID token, and identity assertions that it buys."""

from __future__ import annotations

from typing import Any

import pytest

from authz import jose
from idp_adapters.contract import Asserting, IdentityRefused, Lending, ProviderDown
from tests.fakes.providers.openid import EXCHANGE, ID_JAG, Reply
from tests.idp_adapters.relying import Relying, changed

AUDIENCE, RESOURCE = "https://as.notes.example", "https://notes.example/mcp"


def vouched(oidc: Any, keep: bytes) -> Any:
    return oidc.adapter.assertion(keep, AUDIENCE, RESOURCE, ["notes:read"])


def test_it_lends(oidc):
    assert isinstance(oidc.adapter, Lending)
    assert isinstance(oidc.adapter, Asserting)


def test_the_id_token_is_lent_while_it_lasts_and_the_renewed_one_after(oidc):
    first = oidc.sign_in()
    lent = oidc.adapter.identity_token(first.keep)
    assert jose.read_foreign(lent.token).claims["sub"] == "sub-alice"

    later = Relying(oidc.provider, equipped={"now": lambda: lent.until})
    assert later.adapter.identity_token(first.keep) is None
    assert later.adapter.assertion(first.keep, AUDIENCE, RESOURCE, []) is None
    assert lent.token not in repr(lent)
    renewed = oidc.adapter.renew(first.keep)
    assert oidc.adapter.identity_token(renewed.keep).token != lent.token


def test_one_too_long_for_an_address_is_lent_all_the_same(oidc):
    oidc.provider.twist = changed(groups=[f"group-number-{number:04}" for number in range(500)])
    keep = oidc.sign_in().keep
    assert len(oidc.adapter.identity_token(keep).token) > 6 * 1024
    assert "id_token_hint" not in oidc.adapter.leave(keep, "https://back.example", "s").url


def test_a_provider_that_renews_without_an_id_token_leaves_the_old_one_which_runs_out(oidc):
    first = oidc.sign_in()
    tokens = oidc.provider.tokens
    oidc.provider.tokens = lambda *args, **more: tokens(*args, **more) | {"id_token": ""}
    kept = oidc.adapter.renew(first.keep).keep
    assert oidc.adapter.identity_token(kept) == oidc.adapter.identity_token(first.keep)


def test_an_assertion_is_asked_for_by_the_app_that_the_person_signed_in_to(oidc):
    lent = vouched(oidc, oidc.sign_in().keep)

    (asked,) = [one for one in oidc.provider.asked("/token") if one.form["grant_type"] == EXCHANGE]
    assert asked.headers["authorization"].startswith("Basic ")
    assert {name: asked.form[name] for name in ("audience", "resource", "scope", "requested_token_type")} == {
        "audience": AUDIENCE, "resource": RESOURCE, "scope": "notes:read", "requested_token_type": ID_JAG,
    }  # fmt: skip
    said = jose.read_foreign(lent.token)
    assert (said.claims["aud"], said.claims["sub"]) == (AUDIENCE, "sub-alice")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example"}, {"aud": [AUDIENCE, "https://elsewhere.example"]},
        {"resource": "https://elsewhere.example/mcp"}, {"iss": "https://elsewhere.example"}, {"exp": 1}, {"exp": None},
        {"exp": "soon"},
    ],
    ids=str,
)  # fmt: skip
def test_an_assertion_for_somebody_or_something_else_is_sent_to_nobody(oidc, claims):
    keep = oidc.sign_in().keep
    oidc.provider.twist_assertion = lambda said: said | claims
    with pytest.raises((ProviderDown, IdentityRefused)):
        vouched(oidc, keep)


@pytest.mark.parametrize("typ", [None, "JWT", "at+jwt"])
def test_a_token_of_another_type_is_no_assertion(oidc, typ):
    keep = oidc.sign_in().keep
    oidc.provider.assertion_typ = typ
    with pytest.raises(ProviderDown, match="somebody or for something else"):
        vouched(oidc, keep)


@pytest.mark.parametrize(
    "answer",
    [
        {"issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}, {"token_type": "Bearer"},
        {"access_token": None}, {"access_token": ["x"]}, {"issued_token_type": None},
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_that_is_no_assertion_is_not_taken_for_one(oidc, answer):
    keep = oidc.sign_in().keep
    oidc.provider.exchanged = answer
    with pytest.raises(ProviderDown):
        vouched(oidc, keep)


@pytest.mark.parametrize("token", ["opaque", "a.b.c", "e30.e30", "bnVsbA.bnVsbA.x", "e30.WzFd.x", "é.é.é"])
def test_what_cannot_be_read_is_sent_to_nobody(oidc, token):
    keep = oidc.sign_in().keep
    oidc.provider.exchanged = {"access_token": token}
    with pytest.raises(ProviderDown):
        vouched(oidc, keep)


@pytest.mark.parametrize("error", ["invalid_grant", "login_required", "interaction_required"])
def test_a_sign_in_that_it_vouches_for_no_more_is_refused(oidc, error):
    keep = oidc.sign_in().keep
    oidc.provider.vouched = lambda _: Reply(400, {"error": error, "error_description": "call 555-EVIL"})
    with pytest.raises(IdentityRefused) as refused:
        vouched(oidc, keep)
    assert "555" not in str(refused.value)


@pytest.mark.parametrize("error", ["unsupported_grant_type", "invalid_target", "unauthorized_client", "EVIL 555"])
def test_a_provider_that_does_not_know_how_is_no_fault_of_the_person(oidc, error):
    keep = oidc.sign_in().keep
    oidc.provider.vouched = lambda _: Reply(400, {"error": error})
    with pytest.raises(ProviderDown, match="administrator") as down:
        vouched(oidc, keep)
    assert "555" not in str(down.value)
