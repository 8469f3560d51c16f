"""From a certified OpenID provider, plain and in the shape of Entra ID, through a real gateway and out again."""

from __future__ import annotations

import html
import json
import re
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.fakes.gateway import CommandFailed, Gateway
from tests.fakes.network.certificates import Authority
from tests.servers.oidc.provider import CLIENT, SECRET, TENANT, Browser, OpenIdServer, client, openid_server, read_form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.servers

SCOPES = ["--scopes", "openid", "--scopes", "profile", "--scopes", "groups", "--scopes", "offline_access"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door")) as opened:
        opened.run("group", "add", "developers")
        yield opened


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("secrets") / "client"
    file.write_text(SECRET)
    file.chmod(0o600)
    return file


@pytest.fixture(scope="module")
def plain(gateway: Gateway, secret: Path) -> Iterator[OpenIdServer]:
    with openid_server([client(gateway.url, "corp")]) as server:
        gateway.run(
            "idp", "add", "oidc", "corp", "--issuer", server.issuer, "--client-id", CLIENT, "--prompt", "consent",
            *SCOPES, "--allow-addresses", server.origin, "--client-secret-file", str(secret),
        )  # fmt: skip
        gateway.run("idp", "map", "corp", "groups", "devs", "developers")
        yield server


@pytest.fixture(scope="module")
def entra(gateway: Gateway, secret: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIdServer]:
    authority = Authority(tmp_path_factory.mktemp("ca"))
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    known = client(gateway.url, "entra", token_endpoint_auth_method="client_secret_post")
    for name in ("backchannel_logout_uri", "backchannel_logout_session_required"):  # Entra ID has no such thing
        known.pop(name)
    with openid_server(
        [known], tenant=TENANT, certified=authority.certify("localhost"), trusting=trusting,
        graph_scopes=["ORIGIN/.default"],
    ) as server:  # fmt: skip
        gateway.run(
            "idp", "add", "entra", "entra", "--tenant", TENANT, "--client-id", CLIENT, "--authority", server.origin,
            "--graph", f"{server.origin}/v1.0", "--prompt", "consent", "--ca-file", str(authority.certificate),
            "--allow-addresses", server.origin, "--client-secret-file", str(secret),
        )  # fmt: skip
        gateway.run("idp", "map", "entra", "groups", "devs", "developers")
        gateway.run("idp", "map", "entra", "groups", "g249", "developers")
        yield server


def sign_in(gateway: Gateway, browser: Browser, slug: str, person: str = "alice") -> httpx2.Response:
    begun = browser.client.get(f"{gateway.url}/signin/{slug}")
    assert begun.status_code == 303
    arrival = browser.sign_in(begun.headers["location"], person)
    if arrival.method == "GET":
        return browser.client.get(arrival.url, params=dict(arrival.parameters))
    with httpx2.Client(trust_env=False) as without_cookies:  # as browsers send what another site posts
        posted = without_cookies.post(arrival.url, data=dict(arrival.parameters))
    assert posted.status_code == 303
    return browser.client.get(f"{gateway.url}{posted.headers['location']}")


def home(gateway: Gateway, browser: Browser) -> str:
    return browser.client.get(f"{gateway.url}/").text


def groups_of(gateway: Gateway, handle: str) -> list[str]:
    people = {row["handle"]: row for row in json.loads(gateway.run("user", "list", "--json"))}
    found: list[str] = people[handle]["groups"]
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def sign_out(gateway: Gateway, browser: Browser) -> str:
    """The button on our own page: the address that it leads on to."""
    page = home(gateway, browser)
    start = page.index('action="/signout"')
    _, fields = read_form("<form " + page[start : page.index("</form>", start)])
    answer = browser.client.post(f"{gateway.url}/signout", data=fields, headers={"origin": gateway.url})
    onward = re.search(r'content="0;url=([^"]+)"', answer.text)
    assert onward, answer.text
    return html.unescape(onward[1])


def test_the_connection_is_walked_to_its_end(gateway: Gateway, plain: OpenIdServer, entra: OpenIdServer) -> None:
    assert f"{gateway.url}/signin/corp/callback" in gateway.run("idp", "test", "corp")
    assert f"{gateway.url}/signin/entra/callback" in gateway.run("idp", "test", "entra")


@pytest.mark.parametrize("slug", ["corp", "entra"])
def test_somebody_signs_in_and_is_in_their_group(gateway: Gateway, plain: Any, entra: Any, slug: str) -> None:
    with Browser(entra.tls) as browser:
        assert sign_in(gateway, browser, slug).status_code == 303
        assert "Alice" in home(gateway, browser)
    assert groups_of(gateway, f"alice@{slug}") == ["developers"]


def test_somebody_with_too_many_groups_for_a_token_is_in_theirs_too(gateway: Gateway, entra: OpenIdServer) -> None:
    with Browser(entra.tls) as browser:
        assert sign_in(gateway, browser, "entra", "carol").status_code == 303
    assert groups_of(gateway, "carol@entra") == ["developers"]


def test_an_answer_brought_by_another_browser_signs_nobody_in(gateway: Gateway, plain: OpenIdServer) -> None:
    with Browser() as browser, Browser() as other:
        begun = browser.client.get(f"{gateway.url}/signin/corp")
        arrival = browser.sign_in(begun.headers["location"], "alice")
        assert other.client.get(arrival.url, params=dict(arrival.parameters)).status_code == 400
        assert "Alice" not in home(gateway, other)


def test_signing_out_there_ends_the_session_here(gateway: Gateway, plain: OpenIdServer) -> None:
    with Browser() as browser:
        sign_in(gateway, browser, "corp", "bob")
        assert "Bob" in home(gateway, browser)
        browser.sign_out(f"{plain.issuer}/session/end")  # its back channel tells us
        until(lambda: "Bob" not in home(gateway, browser))


def test_signing_out_here_ends_the_session_there(gateway: Gateway, plain: OpenIdServer) -> None:
    with Browser() as browser:
        sign_in(gateway, browser, "corp")
        back = browser.sign_in(sign_out(gateway, browser), "alice")
        landed = browser.client.get(back.url, params=dict(back.parameters))
        assert landed.headers["location"] == "/"
        sign_in(gateway, browser, "corp", "bob")  # who could not type a name were alice still signed in there
        assert "Bob" in home(gateway, browser)


def test_entra_ends_the_session_that_it_names(gateway: Gateway, entra: OpenIdServer) -> None:
    with Browser(entra.tls) as browser, Browser(entra.tls) as stranger:
        sign_in(gateway, browser, "entra")
        there = f"{gateway.url}/signin/entra/logout"
        assert stranger.client.get(there, params={"iss": entra.issuer, "sid": "nobodys"}).status_code == 200
        assert stranger.client.get(there, params={"iss": "https://evil", "sid": "sid-alice"}).status_code >= 400
        assert "Alice" in home(gateway, browser)
        assert browser.client.get(there, params={"iss": entra.issuer, "sid": "sid-alice"}).status_code == 200
        assert "Alice" not in home(gateway, browser)


def test_a_wrong_secret_is_said_in_words(gateway: Gateway, plain: OpenIdServer, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    gateway.run(
        "idp", "add", "oidc", "other", "--issuer", plain.issuer, "--client-id", CLIENT,
        "--allow-addresses", plain.origin, "--client-secret-file", str(wrong),
    )  # fmt: skip
    with pytest.raises(CommandFailed, match="does not accept the client id or its secret"):
        gateway.run("idp", "test", "other")


def test_nothing_secret_is_in_what_the_gateway_prints_or_records(gateway: Gateway, plain: Any, entra: Any) -> None:
    said = gateway.output() + "".join(file.read_text(errors="replace") for file in gateway.data.rglob("*.jsonl"))
    assert '"signin"' in said
    assert SECRET not in said
    assert not re.search(r"eyJ[\w-]+\.", said)  # how every JWT begins
