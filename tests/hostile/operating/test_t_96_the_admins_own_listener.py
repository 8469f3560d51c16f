"""Cookies count on pages and nowhere else; the review can be moved to a listener of its own."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.fakes.gateway import Gateway
from tests.fakes.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "a phrase for root"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    data = tmp_path_factory.mktemp("gateway")
    config = data / "ostiary.toml"
    config.write_text(f'admin_listen = "127.0.0.1:{free_port()}"\n')
    with Gateway(data, "--config", str(config)) as running:
        running.run("user", "add", "root", "--admin", given=PASSWORD)
        yield running


@pytest.fixture
def browser() -> Iterator[httpx2.Client]:
    with httpx2.Client(trust_env=False) as client:
        yield client


def admin_url(gateway: Gateway) -> str:
    found = re.search(r'"(127[^"]+)"', (gateway.data / "ostiary.toml").read_text())
    assert found is not None
    return f"http://{found[1]}"


def sign_in(browser: httpx2.Client, base: str) -> httpx2.Response:
    found = re.search(r'name="csrf" value="(\w+)"', browser.get(f"{base}/signin").text)
    assert found is not None
    form = {"csrf": found[1], "handle": "root", "password": PASSWORD, "next": "/"}
    return browser.post(f"{base}/signin", data=form, headers={"origin": base})


def test_t_96_an_admins_cookie_opens_nothing_at_the_portal(gateway: Gateway, browser: httpx2.Client) -> None:
    assert sign_in(browser, gateway.url).status_code == 303
    assert "Hello, root" in browser.get(f"{gateway.url}/").text
    answer = browser.post(f"{gateway.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert answer.status_code == 401


def test_t_96_with_a_listener_of_its_own_the_review_is_nowhere_else(gateway: Gateway, browser: httpx2.Client) -> None:
    sign_in(browser, gateway.url)
    assert browser.get(f"{gateway.url}/admin/servers").status_code == 404
    assert f'href="{admin_url(gateway)}/admin/servers"' in browser.get(f"{gateway.url}/").text


def test_t_96_at_its_listener_an_admin_signs_in_and_reviews(gateway: Gateway, browser: httpx2.Client) -> None:
    assert browser.get(f"{admin_url(gateway)}/admin/servers").status_code == 303
    assert sign_in(browser, admin_url(gateway)).status_code == 303
    assert browser.get(f"{admin_url(gateway)}/admin/servers").status_code == 200


def test_t_96_a_token_is_no_way_in_there(gateway: Gateway, browser: httpx2.Client) -> None:
    bearer = {"authorization": f"Bearer {gateway.token('root', '/mcp')}"}
    assert browser.get(f"{admin_url(gateway)}/admin/servers", headers=bearer).status_code == 401


def test_t_96_the_admins_listener_answers_to_no_other_name(gateway: Gateway, browser: httpx2.Client) -> None:
    answer = browser.get(f"{admin_url(gateway)}/signin", headers={"host": "evil.example"})
    assert answer.status_code == 421


def test_t_96_from_outside_the_admins_listener_is_not_there(gateway: Gateway) -> None:
    port = int(admin_url(gateway).rpartition(":")[2])
    own = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port, proto=socket.IPPROTO_TCP)}
    for address in {"127.0.0.2", *own} - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|unreachable|assign"):
            socket.create_connection((address, port), 5)
