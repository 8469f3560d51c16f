"""Exchanging a token of ours, or of the person's sign-in, for one that is good at the server (RFC 8693)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.credentials import Asked, ConnectionNeeded, CredentialUnavailable
from registry.errors import RegistryError
from registry.tables import Auth
from tests.fakes.providers.openid import CLIENT, OpenIdProvider, Reply, listening
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.derived.bench import Bench, as_principal, token_of, upstream, who
from tests.gateway.credentials.derived.company import EXCHANGE, TYPE, Service, join, sign_in, sign_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.catalogue import Upstream

SECRET = b"canary-7f3a9-exchange"
APP = "ostiary-at-the-service"


@pytest.fixture
def service(opened: Bench) -> Iterator[Service]:
    """It trusts our keys, and those of the company's provider once that is there."""
    with serving(Service()) as fake:
        fake.add_app(APP, SECRET.decode())
        fake.issuers[opened.base] = opened.jwks["keys"]
        opened.reach(fake.origin)
        yield fake


def exchanging(opened: Bench, service: Service, **more: Any) -> Upstream:
    settings = {"token_endpoint": f"{service.issuer}/token", "client_id": APP} | more
    secrets = {"client_secret": SECRET} if settings.get("client_auth") != "none" else {}
    return opened.server(Auth.TOKEN_EXCHANGE, settings, service.url, **secrets)


def with_sign_in(opened: Bench, service: Service, **more: Any) -> Upstream:
    return exchanging(opened, service, subject="identity", provider="corp", **more)


def test_a_token_that_we_sign_for_the_service_alone_becomes_one_for_the_server(opened: Bench, service: Service) -> None:
    server = exchanging(opened, service, scopes=["notes:read"])

    credential = opened.obtain(server, who("ann", "helper"))

    ((grant, subject, actor, form),) = service.presented
    assert (grant, actor) == (EXCHANGE, None)
    assert (subject["sub"], subject["aud"]) == ("usr_user:ann", f"{service.issuer}/token")
    assert subject["act"] == {"sub": "usr_agent:helper"}
    assert (form["resource"], form["scope"], form["subject_token_type"]) == (service.url, "notes:read", f"{TYPE}jwt")
    assert "audience" not in form
    assert service.accounts[token_of(credential)].person == "usr_user:ann"
    assert credential.subject == "usr_user:ann"


def test_audience_resource_and_whom_our_token_is_for_are_what_an_administrator_set(
    opened: Bench, service: Service
) -> None:
    server = exchanging(opened, service, audience="notes", subject_audience="//iam.example/pool", scopes=["a", "b"])

    opened.obtain(server, who("ann"), scopes=frozenset({"b"}))

    ((_, subject, _, form),) = service.presented
    assert (subject["aud"], form["audience"], form["scope"]) == ("//iam.example/pool", "notes", "a b")
    assert "resource" not in form


def test_a_server_has_no_more_by_asking_than_an_administrator_set(opened: Bench, service: Service) -> None:
    server = exchanging(opened, service, scopes=["notes:read"])
    with pytest.raises(CredentialUnavailable, match="more than was set"):
        opened.obtain(server, who("ann"), scopes=frozenset({"notes:read", "mail:send"}))
    assert not service.presented


def test_the_id_token_of_the_sign_in_is_exchanged_and_an_agent_presented_beside_it(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, _ = sign_in(opened, company)
    server = with_sign_in(opened, service)

    credential = opened.obtain(server, as_principal(person, "helper", "nightly"))

    ((_, subject, actor, form),) = service.presented
    assert (subject["sub"], subject["aud"], form["subject_token_type"]) == ("sub-alice", CLIENT, f"{TYPE}id_token")
    assert actor is not None
    assert (actor["sub"], actor["act"]) == ("usr_agent:helper", {"sub": "usr_agent:nightly"})
    assert service.accounts[token_of(credential)].person == "sub-alice"


def test_an_id_token_that_has_run_out_is_renewed_once_however_many_ask(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}  # good for a sign-in, not for the way
    person, _ = sign_in(opened, company)
    company.twist = dict
    server = with_sign_in(opened, service)

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda _: opened.obtain(server, as_principal(person)), range(8)))

    assert len({token_of(one) for one in got}) == 8
    refreshes = [one for one in company.asked("/token") if one.form["grant_type"] == "refresh_token"]
    assert len(refreshes) == 1  # each refresh token works once there


def test_what_it_was_renewed_with_is_kept_even_if_the_exchange_then_fails(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}
    person, _ = sign_in(opened, company)
    server = with_sign_in(opened, service)
    for _ in range(2):
        with pytest.raises(ConnectionNeeded, match="without what is needed"):
            opened.obtain(server, as_principal(person))
    company.twist = dict

    assert opened.obtain(server, as_principal(person)).subject == person.id


def test_without_a_sign_in_the_person_is_told_to_sign_in_again(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, cookie = sign_in(opened, company)
    server = with_sign_in(opened, service)
    opened.obtain(server, as_principal(person))
    sign_out(opened, cookie)

    with pytest.raises(ConnectionNeeded, match="Sign in again") as needed:
        opened.obtain(server, as_principal(person))

    assert (needed.value.server, needed.value.subject, needed.value.sign_in) == ("notes", person.id, "corp")
    sign_in(opened, company)
    assert opened.obtain(server, as_principal(person)).subject == person.id  # the retry works


def test_the_newest_sign_in_counts_and_an_older_one_where_that_is_over(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    company.twist = lambda claims: claims | {"exp": company.now() + 30}
    person, _ = sign_in(opened, company)
    sign_in(opened, company)
    company.twist = dict
    newest = list(company._refreshes)[-1]
    del company._refreshes[newest]  # the provider has ended that one

    assert opened.obtain(with_sign_in(opened, service), as_principal(person)).subject == person.id


def test_nobody_elses_sign_in_is_used(opened: Bench, service: Service, company: OpenIdProvider) -> None:
    alice, _ = sign_in(opened, company, "alice")
    company.twist = lambda claims: claims | {"sub": "sub-bob"}
    bob, cookie = sign_in(opened, company, "bob")
    company.twist = dict
    server = with_sign_in(opened, service)

    first, second = (opened.obtain(server, as_principal(person)) for person in (alice, bob))
    assert [service.accounts[token_of(one)].person for one in (first, second)] == ["sub-alice", "sub-bob"]
    assert first.account != second.account
    sign_out(opened, cookie)
    with pytest.raises(ConnectionNeeded):
        opened.obtain(server, as_principal(bob))


def test_what_one_provider_says_is_not_shown_to_a_service_that_another_was_meant_for(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    other = OpenIdProvider("RS256")
    with listening(other):
        join(opened, other, "other")
        person, _ = sign_in(opened, other, slug="other")
        with pytest.raises(ConnectionNeeded):
            opened.obtain(with_sign_in(opened, service), as_principal(person))
    assert not service.presented


def test_an_agent_of_its_own_has_no_sign_in(opened: Bench, service: Service, company: OpenIdProvider) -> None:
    from tests.fakes.parties import principal

    with pytest.raises(CredentialUnavailable, match="delegate") as refused:
        opened.obtain(with_sign_in(opened, service), principal("agent:nightly"))
    assert not isinstance(refused.value, ConnectionNeeded)


def test_the_gateway_reads_as_itself_where_a_sign_in_would_be_needed(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    credential = opened.obtain(with_sign_in(opened, service), None, "")

    assert service.accounts[token_of(credential)].person == APP
    assert credential.subject == ""
    opened.obtain(exchanging(opened, service), None, "")
    assert service.presented[-1][1]["sub"] == f"{opened.base}/oauth/clients/ostiary.json"


@pytest.mark.parametrize("error", ["invalid_grant", "interaction_required", "consent_required"])
def test_a_sign_in_that_the_service_does_not_take_any_more_is_for_the_person_to_mend(
    opened: Bench, service: Service, company: OpenIdProvider, error: str
) -> None:
    person, _ = sign_in(opened, company)
    service.error = error

    with pytest.raises(ConnectionNeeded, match="Sign in again") as needed:
        opened.obtain(with_sign_in(opened, service), as_principal(person))
    assert "555" not in str(needed.value)


@pytest.mark.parametrize("error", ["invalid_grant", "invalid_target", "invalid_client", "unsupported_grant_type"])
def test_a_service_that_does_not_take_our_word_is_for_an_administrator_to_mend(
    opened: Bench, service: Service, error: str
) -> None:
    service.error = error

    with pytest.raises(CredentialUnavailable, match="An administrator has to look") as refused:
        opened.obtain(exchanging(opened, service), who("ann"))
    assert not isinstance(refused.value, ConnectionNeeded)
    assert "555" not in str(refused.value)


@pytest.mark.parametrize(
    "lie",
    [
        {"token_type": "DPoP"},
        {"token_type": "N_A"},
        {"token_type": None},
        {"access_token": None},
        {"access_token": "two words"},
        {"access_token": "line\r\nbreak"},
        {"expires_in": "soon"},
        {"expires_in": True},
    ],
    ids=str,
)
def test_an_answer_that_is_not_quite_one_gives_nothing(opened: Bench, service: Service, lie: dict[str, Any]) -> None:
    service.token = lie

    with pytest.raises(CredentialUnavailable):
        opened.obtain(exchanging(opened, service), who("ann"))


@pytest.mark.parametrize("kind", [f"{TYPE}id_token", f"{TYPE}refresh_token", f"{TYPE}id-jag", ""])
def test_what_is_issued_as_something_else_is_no_access_token(opened: Bench, service: Service, kind: str) -> None:
    service.issued_type = kind

    with pytest.raises(CredentialUnavailable, match="no access token"):
        opened.obtain(exchanging(opened, service), who("ann"))


def test_a_token_whose_life_is_not_said_is_used_for_minutes_and_none_for_more_than_an_hour(
    opened: Bench, service: Service
) -> None:
    server = exchanging(opened, service)
    now = opened.equipment.clock()
    service.life = None
    assert now < opened.obtain(server, who("ann")).until <= now + 305
    service.life = 86400
    assert opened.obtain(server, who("ann")).until <= now + 3605


def test_whose_sign_in_is_meant_has_to_be_said() -> None:
    said = {"token_endpoint": "https://sts.example/token", "client_id": "a"}
    for settings in (said | {"subject": "identity"}, said | {"provider": "corp"}):
        with pytest.raises(RegistryError, match="--provider"):
            upstream(Auth.TOKEN_EXCHANGE, settings)


def test_nothing_of_an_exchange_is_on_record_or_in_the_database(
    opened: Bench, service: Service, company: OpenIdProvider
) -> None:
    person, _ = sign_in(opened, company)
    credential = opened.obtain(with_sign_in(opened, service), as_principal(person))

    opened.office.close()
    data = opened.office.settings.data
    everything = b"".join(file.read_bytes() for file in data.rglob("*") if file.is_file())
    assert token_of(credential).encode() not in everything
    form = service.presented[0][3]
    assert form["subject_token"].encode() not in everything


class Proving(Demanding, Service):
    """Its tokens are bound to keys."""


def test_what_is_exchanged_is_bound_to_a_key_where_the_server_names_the_service_and_both_can(opened: Bench) -> None:
    with serving(Proving(nonces=True)) as service:
        service.add_app(APP, SECRET.decode())
        service.issuers[opened.base] = opened.jwks["keys"]
        opened.reach(service.origin)
        credential = opened.obtain(exchanging(opened, service), who("ann"))
    scheme, _, token = credential.value.decode().partition(" ")
    assert (scheme, token in service.keys) == ("DPoP", True)
    assert service.refused == ["nonce"]


def test_a_service_that_the_server_does_not_name_is_asked_as_it_was_set_up(opened: Bench, service: Service) -> None:
    """Also where the server's own authorization server would bind: it is not the one that is asked."""
    with serving(Proving()) as other:
        opened.reach(other.origin)
        settings = {"token_endpoint": f"{service.issuer}/token", "client_id": APP}
        server = opened.server(Auth.TOKEN_EXCHANGE, settings, other.url, client_secret=SECRET)
        credential = opened.obtain(server, who("ann"))
        assert credential.value.startswith(b"Bearer ")
        assert not other.asked("/token")


def test_a_server_that_says_nothing_of_itself_is_not_asked_each_time(opened: Bench, service: Service) -> None:
    for path in ("/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server"):
        service.replies[path] = lambda _: Reply(500, {})
    server = exchanging(opened, service)
    source = opened.sources.of(server.auth)
    for name in ("ann", "bob", "cat"):
        assert source.obtain(Asked(upstream=server, principal=who(name), object="notes.add")).credential
    assert len(service.asked("/.well-known/oauth-protected-resource/mcp")) <= 1
