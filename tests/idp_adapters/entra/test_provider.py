"""Against npm oidc-provider in the shape of Entra ID, over TLS, through MSAL as it is."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from idp_adapters.contract import IdentityRefused, ProviderDown
from tests.fakes.network.certificates import Authority
from tests.idp_adapters.contract_suite import ContractSuite, RedirectingSuite, RenewingSuite
from tests.idp_adapters.equipment import BASE_URL
from tests.idp_adapters.relying import RelyingOnEntra
from tests.servers.oidc.provider import CLIENT, TENANT, OpenIdServer, client, object_id, openid_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

OPTIONS = {"prompt": "consent"}
NOTES = "api://notes/access_as_user"
SCOPES = ["ORIGIN/.default", "ORIGIN/GroupMember.Read.All", f"{CLIENT}/.default", NOTES, "api://notes/.default"]
ON_BEHALF = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def entra_client(**more: Any) -> dict[str, Any]:
    return client(BASE_URL, token_endpoint_auth_method="client_secret_post") | more


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def shaped(authority: Authority, *clients: dict[str, Any]) -> Any:
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    certified = authority.certify("localhost")
    return openid_server(list(clients), tenant=TENANT, certified=certified, trusting=trusting, graph_scopes=SCOPES)


@pytest.fixture(scope="module")
def running(authority: Authority) -> Iterator[OpenIdServer]:
    with shaped(authority, entra_client()) as server:
        yield server


@pytest.fixture
def server(running: OpenIdServer) -> OpenIdServer:
    running.node.tell("reset")
    return running


def relying(server: Any, authority: Authority, **more: Any) -> RelyingOnEntra:
    options = OPTIONS | more.pop("options", {})
    equipped = {"ca_file": authority.certificate} | more.pop("equipped", {})
    return RelyingOnEntra(server, "entra", options=options, equipped=equipped, **more)


@pytest.fixture
def subject(server: OpenIdServer, authority: Authority) -> RelyingOnEntra:
    return relying(server, authority)


class TestEntraShaped(ContractSuite, RedirectingSuite, RenewingSuite):
    pass


def test_who_they_are_is_the_tenant_and_the_object_id(subject):
    found = subject.sign_in()
    assert (found.issuer, found.subject) == (subject.provider.issuer, object_id("alice"))


def test_more_groups_than_fit_are_read_from_graph_page_by_page(subject, server, authority):
    everyone = {f"g{number}" for number in range(250)}
    assert subject.sign_in("carol").groups == everyone
    as_person = relying(server, authority, options={"graph_as": "person"})
    assert as_person.sign_in("carol").groups == everyone
    with pytest.raises(ProviderDown, match="too many groups"):
        relying(server, authority, options={"graph_as": "nobody"}).sign_in("carol")


def test_a_group_that_was_left_is_gone_at_the_next_renewal(subject, server):
    first = subject.sign_in()
    server.node.tell("change", user="alice", claims={"groups": ["eng"]})
    second = subject.adapter.renew(first.keep)
    assert second.groups == {"eng"}
    assert subject.adapter.renew(second.keep).groups == {"eng"}


def test_another_tenants_token_is_refused_although_its_signature_holds(subject, server):
    server.node.tell("change", user="alice", claims={"tid": "99999999-2222-3333-4444-555555555555"})
    with pytest.raises(IdentityRefused):
        subject.sign_in()


def test_keys_that_were_rotated_are_found(subject, server, authority):
    clock = [0.0]
    patient = relying(server, authority, equipped={"now": lambda: subject.equipment.now() + clock[0]})
    patient.sign_in()
    server.node.tell("rotate")
    clock[0] = 11.0
    assert patient.sign_in().groups == {"devs", "eng"}


def test_a_certificate_proves_our_client(authority: Authority, tmp_path: Path):
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    certificate = self_signed(key)
    public = RSAKey.import_key(pem).as_dict(private=False, use="sig", alg="PS256")
    known = entra_client(
        token_endpoint_auth_method="private_key_jwt",
        token_endpoint_auth_signing_alg="PS256",
        jwks={"keys": [public]},
        grant_types=["authorization_code", "refresh_token", "client_credentials", ON_BEHALF],
    )
    known.pop("client_secret")
    with shaped(authority, known) as server:
        proven = relying(server, authority, options={"certificate": certificate}, secrets={"certificate_key": pem})
        assert proven.sign_in().subject == object_id("alice")
        assert all(finding.ok for finding in proven.adapter.check())
        standing = {"certificate": certificate, "on_behalf": True}
        lending = relying(server, authority, options=standing, secrets={"certificate_key": pem})
        assert lending.adapter.on_behalf(lending.sign_in().keep, [NOTES]).token
        assert lending.adapter.on_our_own([NOTES]).token
        other = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        options = {"certificate": certificate}
        stranger = relying(server, authority, options=options, secrets={"certificate_key": other})
        last = list(stranger.adapter.check())[-1]
        assert (last.step, last.ok) == ("the client", False)


def self_signed(key: rsa.RSAPrivateKey) -> str:
    import datetime as dt

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, CLIENT)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    )  # fmt: skip
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_what_the_environment_says_of_proxies_and_certificates_changes_nothing(subject, monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert subject.sign_in().subject == object_id("alice")
