"""ID tokens that others present, and the walk along the connection."""

from __future__ import annotations

import json

import pytest

from idp_adapters.contract import IdentityRefused, Vouching
from tests.fakes.providers.openid import CLIENT, Heard, Reply
from tests.idp_adapters.relying import Relying, again


def test_an_id_token_for_a_client_that_was_named_vouches(oidc):
    judge = again(oidc, accepted_clients=["desktop", "phone"]).adapter
    assert isinstance(judge, Vouching)
    assert judge.answers_for(oidc.provider.issuer)
    assert not judge.answers_for(oidc.provider.issuer + "/")
    claims = oidc.provider.claims_of("alice") | {"aud": "desktop", "groups": ["devs"]}
    found = judge.vouch(oidc.provider.sign(claims), "us", "there")
    assert (found.subject, found.groups, found.presented_to) == ("sub-alice", {"devs"}, "desktop")
    both = oidc.provider.sign(claims | {"aud": ["desktop", "api"], "azp": "phone"})
    assert judge.vouch(both, "us", "there").presented_to == "phone"


@pytest.mark.parametrize("claims", [{"aud": CLIENT}, {"aud": "other"}, {"aud": ["desktop", "x"]}, {"azp": "other"}])
def test_an_id_token_for_another_client_vouches_for_nobody(oidc, claims):
    judge = again(oidc, accepted_clients=["desktop"]).adapter
    token = oidc.provider.sign(oidc.provider.claims_of("alice") | {"aud": "desktop"} | claims)
    with pytest.raises(IdentityRefused):
        judge.vouch(token, "us", "there")


def test_a_token_that_leaves_the_groups_out_does_not_mean_that_there_are_none(oidc):
    silent = oidc.provider.claims_of("alice") | {"aud": "desktop"}
    judge = again(oidc, accepted_clients=["desktop"]).adapter
    with pytest.raises(IdentityRefused, match="leaves the groups out"):
        judge.vouch(oidc.provider.sign(silent), "us", "there")
    assert judge.vouch(oidc.provider.sign(silent | {"groups": []}), "us", "there").groups == frozenset()
    for options in ({"userinfo": False}, {"groups_claim": ""}):
        sure = again(oidc, accepted_clients=["desktop"], **options).adapter
        assert sure.vouch(oidc.provider.sign(silent), "us", "there").groups == frozenset()


def test_unless_clients_are_named_nothing_vouches(oidc):
    with pytest.raises(IdentityRefused, match="not exchanged here"):
        oidc.adapter.vouch(oidc.provider.sign(oidc.provider.claims_of("alice")), "us", "there")


def words_of(relying: Relying) -> str:
    last = list(relying.adapter.check())[-1]
    assert not last.ok
    return f"{last.step}: {last.words}"


def test_a_walk_says_what_is_wrong(oidc):
    assert "secret" in words_of(Relying(oidc.provider, secrets={"client_secret": b"wrong"}))
    assert "no client_secret is stored" in words_of(Relying(oidc.provider, secrets={}))
    oidc.provider.ahead = 900
    assert "900 s ahead of ours" in words_of(again(oidc)).replace("899", "900")
    oidc.provider.ahead = 0
    slash = again(oidc, issuer=oidc.provider.issuer + "/")
    assert "differ by a slash" in words_of(slash)
    oidc.provider.replies["/jwks"] = lambda _: Reply(404, {})
    assert "signing keys" in words_of(again(oidc))


def test_a_walk_hints_at_what_may_be_missing(oidc):
    found = {one.step: one for one in again(oidc, groups_claim="roles", scopes=["openid"]).adapter.check()}
    assert all(one.ok for one in found.values())
    assert "roles" in found["the claims"].words
    assert "offline_access" in found["staying fresh"].words
    assert "/signin/corp/callback" in found["the addresses to register there"].words


def test_a_token_endpoint_that_gives_tokens_for_anything_is_not_fit(oidc):
    oidc.provider.replies["/token"] = lambda _: Reply(200, {"access_token": "x"})
    assert "nobody was given" in words_of(oidc)


def test_what_a_provider_calls_its_error_is_shown_only_when_it_is_a_word(oidc):
    def evil(_: Heard) -> Reply:
        return Reply(400, {"error": "call 555-EVIL", "error_description": json.dumps("EVIL")})

    oidc.provider.replies["/token"] = evil
    assert "EVIL" not in "".join(one.words for one in oidc.adapter.check())
