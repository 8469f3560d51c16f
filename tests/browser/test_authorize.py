"""A person connects a client, in a real browser, before the real gateway."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from tests.fakes.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = pytest.mark.servers


class Landing(BaseHTTPRequestHandler):
    """Where the client waits for its code."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(b"landed")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def landing() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Landing) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/callback"
        server.shutdown()
        thread.join(10)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data: Path = tmp_path_factory.mktemp("gateway")
    with Gateway(data) as running:
        yield running


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    opened = chromium.new_context()
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


def address(gateway: Gateway, landing: str, name: str) -> str:
    """Where a client that has just registered itself sends the browser."""
    asked = {"redirect_uris": [landing], "client_name": name, "token_endpoint_auth_method": "none"}
    registered = httpx2.post(f"{gateway.url}/oauth/register", json=asked, trust_env=False)
    assert registered.status_code == 201, registered.text
    return asking(gateway, landing, registered.json()["client_id"])


def asking(gateway: Gateway, landing: str, client: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 64).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code", "client_id": client, "redirect_uri": landing, "state": "s&1",
        "code_challenge": challenge, "code_challenge_method": "S256", "resource": f"{gateway.url}/mcp", "scope": "mcp",
    }  # fmt: skip
    return f"{gateway.url}/oauth/authorize?{urlencode(query)}"


def sign_in(page: Page, handle: str, password: str) -> None:
    page.get_by_label("Name").fill(handle)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def landed(page: Page, landing: str) -> dict[str, list[str]]:
    page.wait_for_url(lambda url: url.startswith(landing))
    return parse_qs(urlsplit(page.url).query)


def test_from_the_sign_in_page_over_the_consent_to_the_client(
    gateway: Gateway, landing: str, context: BrowserContext, axe: str
) -> None:
    password, page = gateway.add_user("alice"), context.new_page()
    page.goto(address(gateway, landing, "An Editor"))
    sign_in(page, "alice", password)
    page.get_by_role("heading", name="An Editor").or_(page.get_by_text("An Editor").first).first.wait_for()
    page.evaluate(axe)
    result = page.evaluate("axe.run()")
    assert [rule["id"] for rule in result["violations"] if rule["impact"] in {"serious", "critical"}] == []
    agree(page)
    answer = landed(page, landing)
    assert answer["state"] == ["s&1"]
    assert answer["iss"] == [gateway.url]
    assert answer["code"][0]


def agree(page: Page) -> None:
    page.locator("main button.primary").click()


def test_who_consented_before_only_signs_in(gateway: Gateway, context: BrowserContext) -> None:
    """A form must not end at a foreign address unless its page named it; the sign-in form could not know it."""
    landing = "https://client.example/callback"
    context.route("https://client.example/**", lambda route: route.fulfill(body="landed"))
    added = json.loads(gateway.run("client", "add", "A Web Editor", "--redirect-uri", landing, "--json"))
    there = asking(gateway, landing, added["client_id"])
    password, page = gateway.add_user("bob"), context.new_page()
    page.goto(there)
    sign_in(page, "bob", password)
    page.wait_for_url("**/oauth/authorize**")
    agree(page)
    landed(page, landing)
    context.clear_cookies()
    page.goto(there)
    with page.expect_request(lambda asked: asked.url.startswith(f"{landing}?code=")):
        sign_in(page, "bob", password)


def test_a_connected_client_stands_on_the_portals_home_until_it_is_revoked(
    gateway: Gateway, landing: str, context: BrowserContext
) -> None:
    password, page = gateway.add_user("carol"), context.new_page()
    page.goto(address(gateway, landing, "A Third Editor"))
    sign_in(page, "carol", password)
    page.wait_for_url("**/oauth/authorize**")
    agree(page)
    landed(page, landing)
    page.goto(f"{gateway.url}/")
    page.get_by_role("button", name="Revoke A Third Editor").click()
    page.get_by_text("None. When you connect a client").wait_for()
