"""Tokens that are bound to a key, against npm oidc-provider: it binds them, checks every proof and wants nonces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from gateway.credentials import Refused
from gateway.credentials.kept import Kept
from gateway.credentials.oauth.asking.possession import fresh
from gateway.credentials.oauth.asking.renewing import renew
from registry.tables import Auth
from tests.fakes.servers.demanding import Demanding
from tests.fakes.servers.upstream_oauth import serving
from tests.gateway.credentials.oauth.settled import settled
from tests.servers.oidc.provider import Browser, OpenIdServer, openid_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from registry.catalogue import Credential, Upstream
    from tests.gateway.credentials.oauth.settled import Settled

pytestmark = pytest.mark.servers

BACK = "http://127.0.0.1:8080/connect/notes/callback"
APP: dict[str, Any] = {  # a public one, whose refresh tokens are bound as well (RFC 9449 section 5)
    "client_id": "ostiary-there", "redirect_uris": [BACK], "response_types": ["code"], "application_type": "native",
    "grant_types": ["authorization_code", "refresh_token"], "token_endpoint_auth_method": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdServer]:
    with openid_server([APP], public=True, nonces=True) as running:
        yield running


@pytest.fixture
def office(tmp_path: Path, provider: OpenIdServer) -> Iterator[Settled]:
    with serving(Demanding()) as server, settled(tmp_path, server.origin, provider.origin) as made:
        server.authorities = [provider.issuer]
        made.server(server.url, client_id="ostiary-there", scopes=["openid", "profile", "offline_access"])
        yield made


def connected(office: Settled, provider: OpenIdServer) -> tuple[Upstream, Credential]:
    upstream = office.upstream()
    with Browser() as browser:
        arrival = browser.sign_in(office.depart(upstream), "alice")
    office.come_back(str(httpx2.URL(arrival.url, params=arrival.parameters)))
    return upstream, Kept(office.equipment).obtain(office.asked(upstream)).credential


def whose(provider: OpenIdServer, held: Credential, attempts: int = 2) -> tuple[int, str]:
    """As the provider's own resource knows the token, with a proof of this request; as the way out would ask it."""
    assert held.sign is not None
    assert held.heard is not None
    url = httpx2.URL(f"{provider.issuer}/me")
    head = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n".encode()
    lines = held.sign(head, b"").decode().strip().split("\r\n")
    got = httpx2.get(url, headers=dict(line.split(": ", 1) for line in lines), trust_env=False)
    told = {name.lower().encode(): value.encode() for name, value in got.headers.items()}
    if held.heard(got.status_code, got.headers.get("www-authenticate", "").encode(), told) and attempts > 1:
        return whose(provider, held, attempts - 1)
    return got.status_code, got.json().get("sub", "")


def test_an_account_is_connected_with_a_key_and_known_by_it(office: Settled, provider: OpenIdServer) -> None:
    _, held = connected(office, provider)
    assert office.tokens().type == "DPoP"
    assert whose(provider, held) == (200, "alice")
    assert whose(provider, held, attempts=1) == (200, "alice")  # the nonce is known by now
    token = held.value.removeprefix(b"DPoP ").decode()
    bare = httpx2.get(f"{provider.issuer}/me", headers={"authorization": f"Bearer {token}"}, trust_env=False)
    assert bare.status_code == 401


def test_it_is_renewed_with_the_same_key_and_with_no_other(office: Settled, provider: OpenIdServer) -> None:
    upstream, _ = connected(office, provider)
    before = office.tokens()
    stolen = type(before)(
        access="a", refresh=before.refresh, type="DPoP", key=fresh(office.equipment).exported(), issuer=before.issuer,
        audience=before.audience, client_id=before.client_id,
    )  # fmt: skip
    with pytest.raises(Refused):
        renew(office.equipment, upstream, office.connection(), stolen)
    after = renew(office.equipment, upstream, office.connection(), before)
    assert (after.type, after.key) == ("DPoP", before.key)
    assert after.access != before.access


def test_a_server_that_takes_no_proofs_gets_a_bearer_token_from_it(office: Settled, provider: OpenIdServer) -> None:
    """It binds tokens for whoever proves a key; nobody does where the server could not read them."""
    from tests.fakes.servers.upstream_oauth import Upstream as Plain

    with (
        serving(Plain()) as server,
        settled(office.office.settings.data / "other", server.origin, provider.origin) as plain,
    ):
        server.authorities = [provider.issuer]
        plain.server(server.url, auth=Auth.OAUTH_PERSON, client_id="ostiary-there", scopes=["openid"])
        _, held = connected(plain, provider)
    assert held.value.startswith(b"Bearer ")
    assert held.sign is None
