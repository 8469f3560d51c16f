"""Against npm oidc-provider: people sign in there, and it gives tokens for their ID tokens, or for ours."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from gateway.credentials import ConnectionNeeded, CredentialUnavailable
from gateway.identity.registering import Described, register
from registry.tables import Auth
from tests.fakes.network.certificates import Authority
from tests.gateway.credentials.derived.bench import URL, Bench, as_principal, bench, token_of, who
from tests.gateway.credentials.derived.company import BACK, begin, sign_out
from tests.servers.oidc.provider import CLIENT, SECRET, TENANT, OpenIdServer, client, openid_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from authz.tables import Person

pytestmark = pytest.mark.servers

GRANTS = [
    "authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
]  # fmt: skip
NOTES = "api://notes/access_as_user"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def running() -> Iterator[OpenIdServer]:
    with openid_server([client("http://127.0.0.1:9000", grant_types=GRANTS)]) as server:
        yield server


@pytest.fixture
def company(opened: Bench, running: OpenIdServer) -> OpenIdServer:
    """It is a provider here, and believes what we sign about people."""
    running.node.tell("reset")
    running.node.tell("trust", issuer=opened.base, jwks=opened.jwks)
    opened.reach(running.origin)
    config = {
        "issuer": running.issuer, "client_id": CLIENT, "allow_addresses": [running.origin], "prompt": "consent",
        "scopes": ["openid", "profile", "offline_access"],
    }  # fmt: skip
    described = Described(slug="corp", kind="oidc", config=config, secrets={"client_secret": SECRET.encode()})
    register(opened.office, described, who="operator:test")
    return running


def sign_in(opened: Bench, server: OpenIdServer, person: str = "alice", slug: str = "corp") -> tuple[Person, str]:
    provider = opened.equipment.providers.get(slug)
    adapter: Any = provider.adapter
    back = BACK.replace("corp", slug)
    departure = adapter.depart(back, "a state of this browser alone")
    return begin(opened, provider, adapter.arrive(server.answer(departure, person), departure.kept))


def exchanging(opened: Bench, company: OpenIdServer, **more: Any) -> Any:
    settings = {"token_endpoint": f"{company.issuer}/token", "client_id": CLIENT, "scopes": ["profile"]} | more
    return opened.server(Auth.TOKEN_EXCHANGE, settings, client_secret=SECRET.encode())


def whose(company: OpenIdServer, token: str) -> str:
    """As the provider itself knows the token."""
    url = f"{company.issuer}/token/introspection"
    found = httpx2.post(url, data={"token": token}, auth=(CLIENT, SECRET), trust_env=False)
    return str(found.json().get("sub", ""))


def test_a_persons_id_token_is_exchanged_while_they_are_signed_in(opened: Bench, company: OpenIdServer) -> None:
    alice, _ = sign_in(opened, company)
    bob, cookie = sign_in(opened, company, "bob")
    server = exchanging(opened, company, subject="identity", provider="corp")

    for person, name in ((alice, "alice"), (bob, "bob")):
        credential = opened.obtain(server, as_principal(person, "helper"))
        assert (whose(company, token_of(credential)), credential.subject) == (name, person.id)
    sign_out(opened, cookie)
    with pytest.raises(ConnectionNeeded, match="Sign in again"):
        opened.obtain(server, as_principal(bob))


def test_one_that_has_run_out_is_renewed_with_a_token_that_works_once(opened: Bench, company: OpenIdServer) -> None:
    company.node.tell("life", seconds=50)  # enough to sign in with
    alice, _ = sign_in(opened, company)
    server = exchanging(opened, company, subject="identity", provider="corp")
    with pytest.raises(ConnectionNeeded):
        opened.obtain(server, as_principal(alice))
    company.node.tell("life", seconds=3600)

    tokens = [token_of(opened.obtain(server, as_principal(alice))) for _ in range(2)]

    assert [whose(company, token) for token in tokens] == ["alice", "alice"]


def test_a_token_that_we_sign_is_exchanged_by_whoever_trusts_us(opened: Bench, company: OpenIdServer) -> None:
    token = token_of(opened.obtain(exchanging(opened, company), who("ann")))
    assert whose(company, token) == "usr_user:ann"


def test_whoever_does_not_trust_us_gives_nothing(opened: Bench, company: OpenIdServer) -> None:
    company.node.tell("reset")
    with pytest.raises(CredentialUnavailable, match="An administrator has to look") as refused:
        opened.obtain(exchanging(opened, company), who("ann"))
    assert "555" not in str(refused.value)


def test_it_vouches_for_its_people_to_an_authorization_server(opened: Bench, company: OpenIdServer) -> None:
    from tests.fakes.servers.upstream_oauth import serving
    from tests.gateway.credentials.derived.company import Service

    alice, _ = sign_in(opened, company)
    with serving(Service()) as service:
        service.add_app("us", "canary-7f3a9-there")
        service.issuers[company.issuer] = httpx2.get(f"{company.issuer}/jwks", trust_env=False).json()["keys"]
        opened.reach(service.origin)
        settings = {"source": "provider", "provider": "corp", "client_id": "us", "issuer": service.issuer}
        server = opened.server(Auth.ID_JAG, settings, service.url, client_secret=b"canary-7f3a9-there")
        token = token_of(opened.obtain(server, as_principal(alice)))
        assert service.accounts[token].person == "alice"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def shaped(authority: Authority) -> Iterator[OpenIdServer]:
    """Like Entra ID: over TLS, with an app of its own that asks on behalf of people."""
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    known = client(
        "http://127.0.0.1:9000", "entra", grant_types=GRANTS, token_endpoint_auth_method="client_secret_post"
    )
    with openid_server(
        [known], tenant=TENANT, certified=authority.certify("localhost"), trusting=trusting,
        graph_scopes=["ORIGIN/.default", f"{CLIENT}/.default", NOTES, "api://notes/.default"],
    ) as server:  # fmt: skip
        yield server


@pytest.fixture
def entra(opened: Bench, shaped: OpenIdServer, authority: Authority) -> OpenIdServer:
    shaped.node.tell("reset")
    config = {
        "tenant": TENANT, "client_id": CLIENT, "authority": shaped.origin, "graph": f"{shaped.origin}/v1.0",
        "ca_file": str(authority.certificate), "allow_addresses": [shaped.origin], "prompt": "consent",
        "on_behalf": True,
    }  # fmt: skip
    described = Described(slug="entra", kind="entra", config=config, secrets={"client_secret": SECRET.encode()})
    register(opened.office, described, who="operator:test")
    return shaped


def standing(opened: Bench) -> Any:
    return opened.server(Auth.ON_BEHALF_OF, {"provider": "entra", "scopes": [NOTES]})


def test_msal_gets_a_token_on_behalf_of_each_person(opened: Bench, entra: OpenIdServer) -> None:
    alice, cookie = sign_in(opened, entra, "alice", "entra")
    bob, _ = sign_in(opened, entra, "bob", "entra")
    server = standing(opened)

    first, second = (opened.obtain(server, as_principal(person)) for person in (alice, bob))

    assert (first.subject, second.subject) == (alice.id, bob.id)
    assert (first.origin, first.account != second.account) == (f"{URL.removesuffix('/mcp')}:443", True)
    assert token_of(first) != token_of(second)
    sign_out(opened, cookie)
    with pytest.raises(ConnectionNeeded, match="Sign in again") as needed:
        opened.obtain(server, as_principal(alice))
    assert needed.value.sign_in == "entra"


def test_where_entra_knows_the_person_no_more_they_have_to_sign_in_again(opened: Bench, entra: OpenIdServer) -> None:
    alice, _ = sign_in(opened, entra, "alice", "entra")
    entra.remove("alice")
    with pytest.raises(ConnectionNeeded, match="Sign in again"):
        opened.obtain(standing(opened), as_principal(alice))


def test_the_app_itself_reads_what_the_server_offers(opened: Bench, entra: OpenIdServer) -> None:
    assert opened.obtain(standing(opened), None, "").subject == ""
