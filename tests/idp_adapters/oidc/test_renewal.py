"""Asking again who somebody is, without them."""

from __future__ import annotations

import pytest

from idp_adapters.contract import IdentityRefused, ProviderDown
from tests.fakes.providers.openid import Reply
from tests.idp_adapters.oidc.test_judging import BAD_CLAIMS
from tests.idp_adapters.relying import again, changed


def test_groups_are_learnt_again_and_the_token_for_it_is_rotated(oidc):
    first = oidc.sign_in()
    oidc.provider.people["alice"]["groups"] = ["eng"]
    second = oidc.adapter.renew(first.keep)
    assert second.groups == {"eng"}
    assert (second.authenticated_at, second.session) == (first.authenticated_at, first.session)
    third = oidc.adapter.renew(second.keep)
    assert third.subject == first.subject
    with pytest.raises(IdentityRefused):
        oidc.adapter.renew(first.keep)  # spent


def test_a_renewal_for_somebody_else_is_refused(oidc):
    first = oidc.sign_in()
    oidc.provider.twist = changed(sub="sub-bob")
    with pytest.raises(IdentityRefused, match="somebody else"):
        oidc.adapter.renew(first.keep)


@pytest.mark.parametrize("case", ["another issuer", "another audience", "expired", "issued an hour ago"])
def test_a_renewal_is_judged_as_strictly(oidc, case):
    first = oidc.sign_in()
    oidc.provider.twist = changed(**BAD_CLAIMS[case])
    with pytest.raises(IdentityRefused):
        oidc.adapter.renew(first.keep)


def test_a_nonce_in_a_renewal_is_the_one_of_the_sign_in(oidc):
    departure = oidc.depart()
    first = oidc.adapter.arrive(oidc.answer(departure), departure.kept)
    oidc.provider.twist = changed(nonce=departure.kept["nonce"])
    second = oidc.adapter.renew(first.keep)
    oidc.provider.twist = changed(nonce="another")
    with pytest.raises(IdentityRefused):
        oidc.adapter.renew(second.keep)


def test_a_renewal_without_an_id_token_is_completed_by_userinfo(oidc):
    first = oidc.sign_in()
    oidc.provider.forge = lambda _: ""
    second = oidc.adapter.renew(first.keep)
    assert (second.subject, second.groups, second.session) == ("sub-alice", {"devs", "eng"}, "sid-1")
    oidc.provider.replies["/userinfo"] = lambda _: Reply(200, {"sub": "sub-bob"})
    with pytest.raises(IdentityRefused):
        oidc.adapter.renew(second.keep)


def test_a_renewal_that_tells_nothing_ends_nobody(oidc):
    quiet = again(oidc, userinfo=False)
    first = quiet.sign_in()
    oidc.provider.forge = lambda _: ""
    with pytest.raises(ProviderDown, match="without saying whom"):
        quiet.adapter.renew(first.keep)


@pytest.mark.parametrize(
    "answer", [Reply(500, {}), Reply(400, {"error": "invalid_client"}), Reply(200, {"error": "x"})]
)
def test_a_renewal_that_fails_for_another_reason_ends_nobody(oidc, answer):
    first = oidc.sign_in()
    oidc.provider.replies["/token"] = lambda _: answer
    with pytest.raises(ProviderDown):
        oidc.adapter.renew(first.keep)


def test_without_a_refresh_token_nobody_ends_before_their_time(oidc):
    tokens = oidc.provider.tokens
    oidc.provider.tokens = lambda *given, **named: tokens(*given, **named) | {"refresh_token": ""}
    found = oidc.sign_in()
    with pytest.raises(ProviderDown, match="offline_access"):
        oidc.adapter.renew(found.keep)
