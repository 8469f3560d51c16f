"""The example of a server that trusts the gateway, behind a real one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.fakes import modern
from tests.fakes.gateway import Gateway
from tests.fakes.ports import free_port
from tests.fakes.processes import running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway(tmp_path_factory.mktemp("door")) as opened:
        yield opened


@pytest.fixture(scope="module")
def trusting(gateway: Gateway) -> Iterator[str]:
    """The server, added and approved; `ann` may use it, and so may the agent `helper`."""
    port = free_port()
    with running("examples/trusting/server.py", "--gateway", gateway.url, "--port", str(port)) as url:
        _until_up(url)
        gateway.run("server", "add", "trusting", url, "--allow-address", "--auth", "minted")
        gateway.run("server", "approve", "trusting", "--yes", "--accept-findings")
        gateway.add_user("ann")
        gateway.allow("user:ann", "trusting.*")
        yield url


def _until_up(url: str) -> None:
    deadline = time.monotonic() + 60
    while not _listens(url):
        assert time.monotonic() < deadline, "the server does not listen"
        time.sleep(0.05)


def _listens(url: str) -> bool:
    try:
        return httpx2.post(url, json={}, trust_env=False).status_code == 401
    except httpx2.TransportError:
        return False


def call(gateway: Gateway, token: str, tool: str) -> dict[str, Any]:
    return modern.result(f"{gateway.url}/mcp", token, "tools/call", name=tool, arguments={})


def test_it_knows_who_asks_for_what(gateway: Gateway, trusting: str) -> None:
    token = gateway.token("ann", "/mcp")

    me = call(gateway, token, "trusting_whoami")["structuredContent"]

    assert (me["name"], me["agents"][:1]) == ("ann", [_operator(gateway)])
    assert me["person"].startswith("usr_")
    assert "Good day, ann." in json.dumps(call(gateway, token, "trusting_greet"))


def _operator(gateway: Gateway) -> str:
    """Who made the token at the command line acts, and is named (architecture: CLI acts)."""
    import getpass

    return f"operator:{getpass.getuser()}"


def test_what_it_has_to_trust_is_shown(gateway: Gateway, trusting: str) -> None:
    shown = json.loads(gateway.run("server", "show", "trusting", "--json"))
    assert (shown["token_issuer"], shown["token_audience"]) == (gateway.url, trusting)
    assert httpx2.get(shown["token_keys"], trust_env=False).json()["keys"]
    assert f"audience {trusting}" in gateway.run("server", "show", "trusting")


def test_the_persons_own_token_of_the_gateway_is_no_use_at_the_server(gateway: Gateway, trusting: str) -> None:
    refused = modern.ask(trusting, gateway.token("ann", "/mcp"), "tools/list")
    assert refused.status_code == 401
