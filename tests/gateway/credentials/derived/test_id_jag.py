"""Identity assertions for a server's authorization server (ID-JAG): vouched for by the person's provider, or by us."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from authz import jose
from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from registry.errors import RegistryError
from registry.tables import Auth
from tests.fakes.providers.openid import OpenIdProvider, Reply
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.derived.bench import Bench, as_principal, claims_of, token_of, upstream, who
from tests.gateway.credentials.derived.company import JWT_BEARER, Service, sign_in, sign_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.catalogue import Upstream

SECRET = b"canary-7f3a9-redeem"
APP = "ostiary-there"


class Proving(Demanding, Service):
    """Its tokens are bound to keys."""


@pytest.fixture
def service(opened: Bench) -> Iterator[Service]:
    with serving(Service()) as fake:
        fake.add_app(APP, SECRET.decode())
        fake.issuers[opened.base] = opened.jwks["keys"]
        opened.reach(fake.origin)
        yield fake


def vouching(opened: Bench, service: Service, **settings: Any) -> Upstream:
    told = {"client_id": APP, "source": "provider", "provider": "corp", "issuer": service.issuer} | settings
    return opened.server(Auth.ID_JAG, told, service.url, client_secret=SECRET)


def ourselves(opened: Bench, service: Service, **settings: Any) -> Upstream:
    told = {"client_id": APP, "source": "ours", "issuer": service.issuer} | settings
    return opened.server(Auth.ID_JAG, told, service.url, client_secret=SECRET)


def test_the_persons_provider_vouches_and_the_servers_authorization_server_gives_a_token(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, _ = sign_in(opened, company)
    server = vouching(opened, service, scopes=["notes:read"])

    credential = opened.obtain(server, as_principal(person))

    ((grant, said, _, form),) = service.presented
    assert (grant, said["iss"], said["sub"]) == (JWT_BEARER, company.issuer, "sub-alice")
    assert (said["aud"], said["resource"]) == (service.issuer, service.url)
    assert (form["resource"], form["scope"]) == (service.url, "notes:read")
    assert service.accounts[token_of(credential)].person == "sub-alice"
    assert credential.subject == person.id


def test_we_vouch_ourselves_for_the_pair_that_is_registered(opened: Bench, service: Service) -> None:
    credential = opened.obtain(ourselves(opened, service), who("ann", "helper"))

    ((_, said, _, form),) = service.presented
    assert jose.read_foreign(form["assertion"]).header["typ"] == "oauth-id-jag+jwt"
    assert (said["iss"], said["sub"], said["client_id"]) == (opened.base, "usr_user:ann", APP)
    assert (said["aud"], said["resource"]) == (service.issuer, service.url)
    assert said["act"] == {"sub": "usr_agent:helper"}
    assert 0 < said["exp"] - said["iat"] <= 60
    assert service.accounts[token_of(credential)].person == "usr_user:ann"


def test_the_address_of_somebody_is_said_where_their_provider_vouched_for_it(opened: Bench, service: Service) -> None:
    corporate = opened.person("bea", issuer="https://idp.corp.example", email="bea@corp.example", name="Bea")
    local = opened.person("loc", email="boss@corp.example", name="Loc")
    server = ourselves(opened, service)
    for person in (corporate, local):
        opened.obtain(server, as_principal(person))

    first, second = (said for _, said, _, _ in service.presented)
    assert (first["email"], first["name"]) == ("bea@corp.example", "Bea")
    assert "email" not in second


def test_each_assertion_is_used_once_and_travels_in_no_address(opened: Bench, service: Service) -> None:
    server = ourselves(opened, service)
    opened.obtain(server, who("ann"))
    opened.obtain(server, who("ann"))

    names = [said["jti"] for _, said, _, _ in service.presented]
    assert len(set(names)) == 2
    assertions = [form["assertion"] for _, _, _, form in service.presented]
    assert not any(assertion in heard.path for heard in service.heard for assertion in assertions)
    written = opened.records()
    assert not any(assertion in written for assertion in assertions)


def test_what_it_is_redeemed_for_is_bound_to_a_key_where_both_ends_can(opened: Bench) -> None:
    with serving(Proving(nonces=True)) as service:
        service.add_app(APP, SECRET.decode())
        service.issuers[opened.base] = opened.jwks["keys"]
        opened.reach(service.origin)
        credential = opened.obtain(ourselves(opened, service), who("ann"))
    scheme, _, token = credential.value.decode().partition(" ")
    assert (scheme, token in service.keys) == ("DPoP", True)
    assert service.refused == ["nonce"]


def test_nothing_that_the_server_says_changes_for_whom_we_vouch(opened: Bench, service: Service) -> None:
    """The server names another authorization server, or calls itself something else: nobody is vouched for there."""
    with serving(Service()) as other:
        opened.reach(other.origin)
        other.add_app(APP, SECRET.decode())
        service.authorities = [other.issuer]
        with pytest.raises(CredentialUnavailable, match="--issuer"):
            opened.obtain(ourselves(opened, service), who("ann"))
        assert not other.asked("/token")

    service.authorities = None
    service.resource_metadata = {"resource": service.origin}  # above it, which is allowed (RFC 9728 section 3.3)
    fresh = ourselves(opened, service, resource="urn:notes")
    opened.equipment.discovery.forget(fresh, service.issuer)
    opened.obtain(fresh, who("ann"))
    assert service.presented[-1][1]["resource"] == "urn:notes"


def test_we_vouch_to_nobody_whom_an_administrator_has_not_named() -> None:
    with pytest.raises(RegistryError, match="--issuer"):
        upstream(Auth.ID_JAG, {"client_id": APP, "source": "ours"})
    with pytest.raises(RegistryError, match="--provider"):
        upstream(Auth.ID_JAG, {"client_id": APP})


def test_without_a_sign_in_the_person_is_told_to_sign_in_again(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, cookie = sign_in(opened, company)
    sign_out(opened, cookie)
    with pytest.raises(ConnectionNeeded) as needed:
        opened.obtain(vouching(opened, service), as_principal(person))
    assert needed.value.sign_in == "corp"


def test_a_provider_that_vouches_no_more_wants_to_see_the_person(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, _ = sign_in(opened, company)
    company.vouched = lambda _: Reply(400, {"error": "login_required"})  # type: ignore[assignment,method-assign]
    with pytest.raises(ConnectionNeeded, match="Sign in again"):
        opened.obtain(vouching(opened, service), as_principal(person))


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_target", "unauthorized_client"])
def test_an_authorization_server_that_does_not_take_the_word_is_for_an_administrator(
    opened: Bench, service: Service, error: str
) -> None:
    service.error = error
    with pytest.raises(CredentialUnavailable, match="An administrator has to look") as refused:
        opened.obtain(ourselves(opened, service), who("ann"))
    assert not isinstance(refused.value, ConnectionNeeded)
    assert "555" not in str(refused.value)


def test_the_gateway_reads_as_itself(opened: Bench, service: Service, company: OpenIdProvider) -> None:
    credential = opened.obtain(vouching(opened, service), None, "")
    assert service.accounts[token_of(credential)].person == APP
    assert not service.presented


def test_where_it_may_not_it_reads_as_nobody(opened: Bench, service: Service) -> None:
    service.error = "unauthorized_client"
    with pytest.raises(ConnectionNeeded) as needed:
        opened.obtain(ourselves(opened, service), None, "")
    assert (needed.value.subject, needed.value.sign_in) == ("", "")


def test_what_is_redeemed_is_ours_by_our_keys_alone(opened: Bench, service: Service) -> None:
    opened.obtain(ourselves(opened, service), who("ann"))
    form = service.presented[0][3]
    kid = jose.read_foreign(form["assertion"]).header["kid"]
    assert kid in {key["kid"] for key in opened.jwks["keys"]}
    assert claims_of(form["assertion"])["exp"] <= time.time() + 60
