"""Servers that somebody tries to register where we must not go, plainly or in disguise."""
# ruff: noqa: RUF001

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.errors import AddressRefused
from registry.servers import all_servers

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf


def registered_rule(shelf: Shelf, url: str) -> str:
    with pytest.raises(AddressRefused) as refused:
        shelf.add("notes", url)
    assert f"rule: {refused.value.rule}" in str(refused.value)
    with shelf.database.read() as session:
        assert all_servers(session) == []
    return refused.value.rule


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://mcp.example.com/mcp", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://mcp.example.com/", "scheme"),
        ("https://169.254.169.254/latest/meta-data", "metadata"),
        ("https://127.0.0.1/mcp", "loopback"),
        ("https://10.0.0.1/mcp", "private-address"),
        ("https://172.16.0.1/mcp", "private-address"),
        ("https://192.168.0.1/mcp", "private-address"),
        ("https://[::1]/mcp", "loopback"),
        ("https://[fc00::1]/mcp", "private-address"),
        ("https://0.0.0.0/mcp", "not-unicast"),
        ("https://[fe80::1%25eth0]/mcp", "link-local"),
        ("https://[fe80::1]/mcp", "link-local"),
        ("https://mcp.example.com:22/mcp", "port"),
    ],
)
def test_t_44_a_forbidden_address_is_refused_with_the_name_of_its_rule(shelf: Shelf, url: str, rule: str) -> None:
    assert registered_rule(shelf, url) == rule


@pytest.mark.parametrize(
    "host",
    [
        "0177.0.0.1",
        "2130706433",
        "127.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.0.0.1.",
        "127.000.000.001",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[0:0:0:0:0:0:0:1]",
        "①②⑦.0.0.1",
        "127。0。0。1",
        "１２７.0.0.1",
        "%31%32%37.0.0.1",
        "localhost",
        "LOCALHOST",
    ],
)
def test_t_47_an_address_in_disguise_is_refused(shelf: Shelf, host: str) -> None:
    assert registered_rule(shelf, f"https://{host}/mcp")
