"""MCP Apps in the catalogue: pages of tools, and tools for pages."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from registry.catalogue.apps import is_for_apps, page_of
from registry.catalogue.assembling import contested
from tests.registry.shelf import resource, template, tool

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf

PAGE = "ui://board/main"


def shown(entry: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(entry.shown)
    return value


def members(**meta: Any) -> dict[str, msgspec.Raw]:
    return {"_meta": msgspec.Raw(msgspec.json.encode(meta))}


def test_a_page_is_named_in_either_form() -> None:
    assert page_of(members(ui={"resourceUri": PAGE})) == PAGE
    assert page_of(members(**{"ui/resourceUri": PAGE})) == PAGE
    assert page_of({}) == ""


@pytest.mark.parametrize("said", ["https://there.example", 7, None, {}, ["ui://x"]])
def test_only_a_ui_uri_is_a_page(said: Any) -> None:
    assert page_of(members(ui={"resourceUri": said})) == ""
    assert page_of(members(ui=said)) == ""
    assert page_of({"_meta": msgspec.Raw(b"7")}) == ""


@pytest.mark.parametrize(
    ("visibility", "for_apps"),
    [(["app"], True), (["model", "app"], False), (["model"], False), ([], False), (None, False), ("app", False)],
)
def test_a_tool_is_for_apps_when_no_model_is_named(visibility: Any, for_apps: bool) -> None:
    assert is_for_apps(members(ui={"visibility": visibility})) is for_apps


def test_what_is_for_the_pages_of_a_server_is_on_its_own_mount_alone(shelf: Shelf) -> None:
    shelf.approved("board", tool("move", _meta={"ui": {"visibility": ["app"]}}), tool("show"))
    mounts = shelf.catalogue().mounts
    assert list(mounts["/mcp"].tools) == ["board_show"]
    assert list(mounts["/servers/board/mcp"].tools) == ["move", "show"]


def test_a_page_need_not_be_listed_to_be_known(shelf: Shelf) -> None:
    shelf.approved("board", tool("show", _meta={"ui": {"resourceUri": PAGE}}))
    for mount in shelf.catalogue().mounts.values():
        assert [entry.name for entry in mount.pages[PAGE]] == ["show"]
        assert PAGE not in mount.resources


def test_a_tool_is_never_shown_with_a_page_of_another_server(shelf: Shelf) -> None:
    meta = {"ui": {"resourceUri": PAGE, "prefersBorder": True}, "ui/resourceUri": PAGE, "kept/x": [1.0]}
    shelf.approved("board", tool("show", _meta=meta))
    time.sleep(0.01)
    shelf.approved("later", tool("show", _meta=meta), resource(PAGE))
    mounts = shelf.catalogue().mounts
    portal = mounts["/mcp"]
    assert [entry.server for entry in portal.pages[PAGE]] == ["board"]
    assert PAGE not in portal.resources
    assert shown(portal.tools["board_show"])["_meta"] == meta
    assert shown(portal.tools["later_show"])["_meta"] == {"ui": {"prefersBorder": True}, "kept/x": [1.0]}
    assert [entry.server for entry in mounts["/servers/later/mcp"].pages[PAGE]] == ["later"]
    assert shown(mounts["/servers/later/mcp"].tools["show"])["_meta"] == meta


def test_a_listed_resource_that_was_there_first_is_nobody_elses_page(shelf: Shelf) -> None:
    shelf.approved("board", resource(PAGE))
    time.sleep(0.01)
    shelf.approved("later", tool("show", _meta={"ui": {"resourceUri": PAGE}}))
    portal = shelf.catalogue().mounts["/mcp"]
    assert portal.resources[PAGE].server == "board"
    assert PAGE not in portal.pages


def test_a_template_that_fits_takes_no_page_away(shelf: Shelf) -> None:
    shelf.approved("greedy", template("ui://{+path}"))
    time.sleep(0.01)
    shelf.approved("board", tool("show", _meta={"ui": {"resourceUri": PAGE}}))
    assert [entry.server for entry in shelf.catalogue().mounts["/mcp"].pages[PAGE]] == ["board"]


def test_who_lists_a_page_of_another_server_is_told_where_it_leads(shelf: Shelf) -> None:
    shelf.approved("board", tool("show", _meta={"ui": {"resourceUri": PAGE}}))
    time.sleep(0.01)
    shelf.approved("later", resource(PAGE))
    with shelf.database.read() as session:
        assert contested(session, "later") == {PAGE: "board"}
