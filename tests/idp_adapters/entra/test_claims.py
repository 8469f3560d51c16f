"""Signing in with Entra ID: what is asked of it, what is kept, and what a walk along the connection says."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from idp_adapters.contract import IdentityRefused, LoggingOut, ProviderDown, Renewing, Vouching
from tests.fakes.providers.entra import object_id
from tests.fakes.providers.openid import CLIENT, Reply
from tests.idp_adapters.relying import CALLBACK, STATE, RelyingOnEntra, changed

if TYPE_CHECKING:
    from typing import Any


def again(entra: RelyingOnEntra, **options: Any) -> RelyingOnEntra:
    secrets = options.pop("secrets", entra.secrets)
    return RelyingOnEntra(entra.provider, "entra", options=options, secrets=secrets, equipped=entra.equipped)


def words_of(entra: RelyingOnEntra) -> str:
    last = list(entra.adapter.check())[-1]
    assert not last.ok
    return f"{last.step}: {last.words}"


def test_whoever_is_to_prove_it_anew_is_asked_for_a_sign_in_at_microsoft(entra):
    departure = entra.adapter.depart(CALLBACK, STATE, again=True)

    assert parse_qs(urlsplit(departure.url).query)["prompt"] == ["login"]


def test_it_is_all_that_an_openid_provider_is(entra):
    for way in (Renewing, LoggingOut, Vouching):
        assert isinstance(entra.adapter, way)


def test_the_code_comes_back_in_a_form_and_is_bound_to_a_verifier_and_a_nonce(entra):
    departure = again(entra, prompt="select_account", max_age=600).depart()
    asked = {name: values[0] for name, values in parse_qs(urlsplit(departure.url).query).items()}
    assert (asked["response_mode"], asked["code_challenge_method"]) == ("form_post", "S256")
    assert (asked["redirect_uri"], asked["state"]) == (CALLBACK, STATE)
    assert (asked["prompt"], asked["max_age"]) == ("select_account", "600")
    assert set(asked["scope"].split()) == {"openid", "profile", "offline_access"}
    assert json.loads(departure.kept["flow"])["code_verifier"] not in departure.url


def test_who_they_are_is_said_by_object_id_and_tenant(entra):
    found = entra.sign_in()
    assert (found.issuer, found.subject) == (entra.provider.issuer, object_id("alice"))
    assert (found.login, found.groups, found.session) == ("alice", {"devs", "eng"}, "sid-1")


def test_app_roles_are_carried_for_mappings(entra):
    entra.provider.twist = changed(roles=["Admin", "Reader"])
    assert again(entra, carry=["roles"]).sign_in().claims["roles"] == {"Admin", "Reader"}


def test_what_is_kept_of_one_person_holds_nothing_of_another(entra):
    kept = {person: entra.sign_in(person).keep.decode() for person in ("alice", "bob")}
    assert "at-alice-" in kept["alice"]
    assert "at-bob-" in kept["bob"]
    assert "bob" not in kept["alice"]
    assert "alice" not in kept["bob"]


def test_a_sign_in_that_is_too_long_ago_is_refused(entra):
    strict = again(entra, max_age=300)
    assert strict.sign_in()
    for auth_time in (lambda claims: claims["iat"] - 400, None):
        entra.provider.twist = changed(auth_time=auth_time)
        with pytest.raises(IdentityRefused):
            strict.sign_in()


def test_groups_are_learnt_again_and_how_they_signed_in_stays(entra):
    first = entra.sign_in()
    entra.provider.people["alice"]["groups"] = ["eng"]
    second = entra.adapter.renew(first.keep)
    assert (second.groups, second.session) == ({"eng"}, first.session)
    assert second.authenticated_at == first.authenticated_at
    assert entra.adapter.renew(second.keep).subject == first.subject
    with pytest.raises(IdentityRefused):
        entra.adapter.renew(first.keep)  # its refresh token was spent


@pytest.mark.parametrize("error", ["interaction_required", "invalid_grant", "consent_required"])
def test_who_has_to_be_asked_in_person_is_signed_out(entra, error):
    keep = entra.sign_in().keep
    entra.provider.replies[f"{entra.provider.prefix}/token"] = lambda _: Reply(400, {"error": error})
    with pytest.raises(IdentityRefused):
        entra.adapter.renew(keep)


@pytest.mark.parametrize(
    "answer", [Reply(500, {}), Reply(429, {}), Reply(400, {"error": "invalid_client"}), Reply(200, {"error": ["x"]})]
)
def test_nobody_ends_because_entra_cannot_answer(entra, answer):
    keep = entra.sign_in().keep
    entra.provider.replies[f"{entra.provider.prefix}/token"] = lambda _: answer
    with pytest.raises(ProviderDown):
        entra.adapter.renew(keep)


@pytest.mark.parametrize("keep", [b"", b"{}", b'{"tenant":"x","person":"y"}', b"\xff"])
def test_what_was_kept_and_cannot_be_read_renews_nobody(entra, keep):
    with pytest.raises((ProviderDown, IdentityRefused)):
        entra.adapter.renew(keep)


def test_leaving_ends_that_account_there_without_asking_which(entra):
    entra.provider.twist = changed(login_hint="O.CiQ-opaque")
    left = entra.adapter.leave(entra.sign_in().keep, "http://127.0.0.1:9000/signin/corp/logout", "s1")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(left.url).query).items()}
    assert left.url.startswith(f"{entra.provider.issuer}/logout?")
    assert asked["post_logout_redirect_uri"] == "http://127.0.0.1:9000/signin/corp/logout"
    assert (asked["logout_hint"], asked["state"]) == ("O.CiQ-opaque", "s1")


def test_a_certificate_is_named_by_its_sha_256_and_proved_with_pss(entra):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = self_signed(key)
    text = certificate.public_bytes(serialization.Encoding.PEM).decode()
    again(entra, certificate=text, secrets={"certificate_key": pem}).sign_in()
    form = entra.provider.asked("/token")[0].form
    header = json.loads(base64.urlsafe_b64decode(form["client_assertion"].split(".")[0] + "=="))
    made = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    assert (header["alg"], header["x5t#S256"].rstrip("=")) == ("PS256", made)
    assert "x5t" not in header
    assert "client_secret" not in form


def self_signed(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, CLIENT)]), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA256())


def test_a_walk_says_what_is_wrong(entra):
    assert "secret" in words_of(again(entra, secrets={"client_secret": b"wrong"}))
    assert "no client_secret is stored" in words_of(again(entra, secrets={}))
    entra.provider.graph_reads = False
    assert "GroupMember.Read.All" in words_of(again(entra))
    assert all(finding.ok for finding in again(entra, graph_as="nobody").adapter.check())
    entra.provider.metadata = {"issuer": "https://evil.example"}
    assert "another issuer" in words_of(again(entra))
