"""The door over https: a certificate of its own, cookies that hold to the host, links that begin with https."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import Gateway
from tests.fakes.network.certificates import Authority
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    certificate, key = authority.certify("localhost")
    gateway = Gateway(folder / "data", "--tls-cert", str(certificate), "--tls-key", str(key))
    gateway.port = free_port()
    gateway.url = f"https://localhost:{gateway.port}"
    trusting = ssl.create_default_context(cafile=authority.certificate)
    with gateway, httpx2.Client(base_url=gateway.url, verify=trusting, timeout=20) as made:
        yield made


def test_every_address_that_is_published_is_the_public_one(client: httpx2.Client) -> None:
    base = str(client.base_url).rstrip("/")
    about = client.get("/.well-known/oauth-authorization-server").json()
    assert about["issuer"] == base
    assert all(value.startswith(base) for name, value in about.items() if name.endswith(("_endpoint", "_uri")))
    assert client.get("/.well-known/oauth-protected-resource/mcp").json()["resource"] == f"{base}/mcp"


def test_cookies_are_bound_to_the_host_and_to_https(client: httpx2.Client) -> None:
    cookies = client.get("/signin").headers.get_list("set-cookie")
    assert cookies
    assert all(cookie.startswith("__Host-") and "; secure" in cookie.lower() for cookie in cookies)
    assert all("; httponly" in cookie.lower() and "; path=/" in cookie.lower() for cookie in cookies)


def test_the_portal_challenges_with_an_https_address(client: httpx2.Client) -> None:
    answer = client.post("/mcp", json={})
    assert answer.status_code == 401
    assert f'resource_metadata="{str(client.base_url).rstrip("/")}/.well-known/' in answer.headers["www-authenticate"]


def test_plain_http_on_the_https_port_gets_no_answer_of_ours(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.TransportError):
        httpx2.get(str(client.base_url).replace("https://", "http://"), timeout=10)
