"""Names that mean one thing to a check and another to whoever uses them."""

from __future__ import annotations

import pytest

from registry.errors import NameRefused
from registry.reviewing import Status
from registry.screening.hidden import visible
from tests.registry.shelf import Shelf, tool

ODD = [
    "srv/../x",
    "srv/x\n",
    "SRV/x",
    "srv//x",
    "srv%2Fx",
    "%2e%2e",
    "x" * 129,
    "..",
    "a*",
    "*",
    "a b",
    "a;b",
    "a\x00b",
]


@pytest.mark.parametrize("name", [name for name in ODD if name != ".."])
def test_t_41_an_odd_tool_name_never_gets_into_the_catalogue(shelf: Shelf, name: str) -> None:
    stored = visible(name) if "\0" in name else name  # as it is read: no database has text for it
    shelf.add("srv")
    shelf.see("srv", tool(stored), tool("fine"))
    shelf.approve("srv")
    assert shelf.tools() == ["srv_fine"]
    assert shelf.items("srv")[stored].status == Status.REFUSED


@pytest.mark.parametrize("slug", ODD)
def test_t_41_nor_does_an_odd_server_name(shelf: Shelf, slug: str) -> None:
    with pytest.raises(NameRefused):
        shelf.add(slug)


@pytest.mark.parametrize("name", [*ODD, "srv_../x", "srv_fine\n", "SRV_fine", "srv_fin%65", "srv.fine", "srv_"])
def test_t_41_nothing_but_the_exact_exposed_name_is_found(shelf: Shelf, name: str) -> None:
    shelf.approved("srv", tool("fine"))
    mount = shelf.catalogue().mounts["/mcp"]
    assert mount.tools.get(name) is None
    assert mount.prompts.get(name) is None
    assert mount.resource(name) is None
