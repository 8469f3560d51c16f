"""Signing in with OpenID Connect: what is asked, and who it makes of the answer."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from idp_adapters.contract import Arrival, IdentityRefused, ProviderDown
from tests.fakes.providers.openid import CLIENT, SECRET, Reply
from tests.idp_adapters.relying import CALLBACK, STATE, Relying, again, changed


def test_the_browser_is_sent_with_everything_that_ties_its_answer_to_it(oidc):
    departure = again(oidc, prompt="login", max_age=60, acr_values=["mfa"]).depart()
    asked = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert departure.url.startswith(f"{oidc.provider.issuer}/authorize?")
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == CALLBACK
    assert (asked["prompt"], asked["max_age"], asked["acr_values"]) == ("login", "60", "mfa")
    assert len(asked["nonce"]) > 30
    assert departure.kept["verifier"] not in departure.url


def test_whoever_is_to_prove_it_anew_is_asked_for_a_sign_in_at_the_provider(oidc):
    departure = oidc.adapter.depart(CALLBACK, STATE, again=True)

    assert parse_qs(urlsplit(departure.url).query)["prompt"] == ["login"]


def test_no_two_departures_share_a_nonce_or_a_verifier(oidc):
    kept = [oidc.depart().kept for _ in range(20)]
    assert len({one["nonce"] for one in kept}) == len({one["verifier"] for one in kept}) == 20


def test_who_they_are_is_told_by_the_id_token_and_completed_by_userinfo(oidc):
    found = oidc.sign_in()
    assert (found.issuer, found.subject) == (oidc.provider.issuer, "sub-alice")
    assert (found.login, found.name, found.email) == ("alice", "Alice A.", "alice@corp.example")
    assert found.groups == {"devs", "eng"}
    assert found.session == "sid-1"


def test_without_userinfo_the_id_token_has_to_say_all(oidc):
    quiet = again(oidc, userinfo=False)
    assert quiet.sign_in().groups == frozenset()
    oidc.provider.twist = changed(groups=["from-the-token"])
    assert quiet.sign_in().groups == {"from-the-token"}
    assert not oidc.provider.asked("/userinfo")


def test_userinfo_about_somebody_else_is_no_answer(oidc):
    oidc.provider.replies["/userinfo"] = lambda _: Reply(200, {"sub": "sub-bob", "groups": ["admins"]})
    with pytest.raises(IdentityRefused, match="two different people"):
        oidc.sign_in()


def test_what_is_signed_stands_over_what_userinfo_says(oidc):
    oidc.provider.replies["/userinfo"] = lambda _: Reply(200, {"sub": "sub-alice", "iss": "x", "groups": ["admins"]})
    oidc.provider.twist = changed(groups=["devs"])
    found = oidc.sign_in()
    assert (found.issuer, found.groups) == (oidc.provider.issuer, {"devs"})


def test_how_they_signed_in_is_not_taken_from_what_is_unsigned(oidc):
    told = {"sub": "sub-alice", "acr": "mfa", "amr": ["hwk"], "auth_time": 2**40, "sid": "another"}
    oidc.provider.replies["/userinfo"] = lambda _: Reply(200, told)
    oidc.provider.twist = changed(auth_time=None)
    found = oidc.sign_in()
    assert (found.acr, found.amr, found.session) == ("", (), "sid-1")
    assert abs(found.authenticated_at - oidc.provider.now()) < 60


def test_a_sign_in_that_is_too_long_ago_is_refused(oidc):
    strict = again(oidc, max_age=300)
    assert strict.sign_in()
    for auth_time in (lambda claims: claims["iat"] - 400, None):
        oidc.provider.twist = changed(auth_time=auth_time)
        with pytest.raises(IdentityRefused):
            strict.sign_in()


def test_an_assurance_that_was_asked_for_is_insisted_on(oidc):
    strict = again(oidc, acr_values=["mfa", "phr"])
    oidc.provider.twist = changed(acr="phr", amr=["hwk", "user"])
    assert (strict.sign_in().acr, strict.sign_in().amr) == ("phr", ("hwk", "user"))
    for acr in ("pwd", None):
        oidc.provider.twist = changed(acr=acr)
        with pytest.raises(IdentityRefused):
            strict.sign_in()


def test_groups_are_found_where_the_provider_keeps_them(oidc):
    realm = {"roles": ["devs", "a/b"]}
    oidc.provider.twist = changed(realm_access=realm, **{"https://corp.example/groups": ["eng"]}, employee=True)
    assert again(oidc, groups_claim="/realm_access/roles").sign_in().groups == {"devs", "a/b"}
    assert again(oidc, groups_claim="https://corp.example/groups").sign_in().groups == {"eng"}
    assert again(oidc, groups_claim="/realm_access/nothing").sign_in().groups == frozenset()
    assert again(oidc, groups_claim="").sign_in().groups == frozenset()
    assert again(oidc, carry=["employee"]).sign_in().claims["employee"] == {"true"}


def test_more_groups_than_anybody_has_are_refused_and_not_cut(oidc):
    oidc.provider.people["alice"]["groups"] = [str(number) for number in range(5001)]
    with pytest.raises(IdentityRefused, match="more than 5000"):
        oidc.sign_in()


def test_an_address_that_the_provider_does_not_believe_is_none(oidc):
    oidc.provider.people["alice"]["email_verified"] = False
    assert oidc.sign_in().email == ""


def test_a_name_with_strange_letters_is_one_plain_line(oidc):
    oidc.provider.people["alice"]["name"] = "Al\u202eice\n\x00" + "x" * 500
    assert oidc.sign_in().name == "Alice" + "x" * 195


def test_a_code_is_good_once(oidc):
    departure = oidc.depart()
    arrival = oidc.answer(departure)
    assert oidc.adapter.arrive(arrival, departure.kept)
    with pytest.raises(IdentityRefused, match="start it again"):
        oidc.adapter.arrive(arrival, departure.kept)


def test_a_code_that_somebody_injected_is_worth_nothing(oidc):
    ours, theirs = oidc.depart(), oidc.depart()
    stolen = oidc.answer(theirs, "bob").parameters["code"]
    with pytest.raises(IdentityRefused):
        oidc.adapter.arrive(Arrival(
            method="GET", url=CALLBACK, parameters={"code": stolen, "state": STATE, "iss": oidc.provider.issuer}
        ), ours.kept)  # fmt: skip


def test_a_client_secret_with_odd_letters_is_sent_as_the_standard_says(oidc):
    odd = Relying(oidc.provider, options={"client_id": "a:b c"}, secrets={"client_secret": "p%:ä".encode()})
    with pytest.raises(ProviderDown, match="client id or its secret"):
        odd.sign_in()
    sent = oidc.provider.asked("/token")[-1].headers["authorization"]
    assert sent == "Basic YSUzQWIrYzpwJTI1JTNBJUMzJUE0"  # a%3Ab+c:p%25%3A%C3%A4, RFC 6749 section 2.3.1


def test_a_secret_in_the_form_is_not_in_the_header(oidc):
    again(oidc, client_auth="client_secret_post").sign_in()
    asked = oidc.provider.asked("/token")[0]
    assert asked.form["client_secret"] == SECRET
    assert "authorization" not in asked.headers


def test_a_key_instead_of_a_secret_proves_the_client(oidc):
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    options = {"client_auth": "private_key_jwt", "client_key_id": "our-key"}
    Relying(oidc.provider, options=options, secrets={"client_key": pem}).sign_in()
    asked = oidc.provider.asked("/token")[0]
    assertion = jwt.decode(asked.form["client_assertion"], ECKey.import_key(pem), algorithms=["ES256"])
    assert assertion.header["kid"] == "our-key"
    assert (assertion.claims["iss"], assertion.claims["sub"]) == (CLIENT, CLIENT)
    assert assertion.claims["aud"] == f"{oidc.provider.issuer}/token"
    assert assertion.claims["exp"] - assertion.claims["iat"] == 60
    assert "client_secret" not in asked.form


@pytest.mark.parametrize("pem", [b"", b"not a key", SECRET.encode()])
def test_a_key_that_is_none_is_said_without_showing_it(oidc, pem):
    broken = Relying(oidc.provider, options={"client_auth": "private_key_jwt"}, secrets={"client_key": pem})
    with pytest.raises(ProviderDown, match="PEM") as down:
        broken.sign_in()
    assert "canary" not in str(down.value)
