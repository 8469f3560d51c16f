"""The catalogue that is built from the tables."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from registry.catalogue import DEFAULT_PORTAL
from registry.catalogue.assembling import contested
from registry.screening import Described
from registry.tables import Kind
from tests.registry.shelf import resource, template, tool

if TYPE_CHECKING:
    from tests.registry.shelf import Shelf


def test_the_portal_prefixes_and_the_mount_does_not(shelf: Shelf) -> None:
    shelf.approved("notes", tool("list"), tool("read"))
    shelf.approved("clock", tool("now"))
    mounts = shelf.catalogue().mounts
    assert list(mounts["/mcp"].tools) == ["clock_now", "notes_list", "notes_read"]
    assert list(mounts["/servers/notes/mcp"].tools) == ["list", "read"]
    assert mounts["/mcp"].portal == DEFAULT_PORTAL
    assert mounts["/servers/notes/mcp"].portal == "server:notes"
    entry = mounts["/mcp"].tools["notes_list"]
    assert (entry.object, entry.name, entry.server) == ("notes.list", "list", "notes")


def test_what_is_shown_is_the_approved_text_with_the_name_changed(shelf: Shelf) -> None:
    raw = '{"zeta":1.0,"name":"list","inputSchema":{"type" : "object"},"big":12345678901234567890,"_meta":{"x":null}}'
    shelf.approved("notes", Described(Kind.TOOL, "list", raw))
    mounts = shelf.catalogue().mounts
    assert mounts["/servers/notes/mcp"].tools["list"].shown == raw.encode()
    shown = mounts["/mcp"].tools["notes_list"].shown
    assert shown == raw.replace('"list"', '"notes_list"').encode()


def test_nothing_is_shown_that_a_server_says_in_our_name(shelf: Shelf) -> None:
    ours = '{"x":1,"dev.ostiary/operation":{"method":"GET"},"dev.ostiary/status":200}'
    head = '{"name":"%s","inputSchema":{"type":"object"}%s}'
    metas = {"both": f',"_meta":{ours}', "alone": ',"_meta":{"dev.ostiary/next":1}', "odd": ',"_meta":"dev.ostiary/"'}
    shelf.approved("notes", *(Described(Kind.TOOL, name, head % (name, meta)) for name, meta in metas.items()))
    tools = shelf.catalogue().mounts["/servers/notes/mcp"].tools
    assert tools["both"].shown == (head % ("both", ',"_meta":{"x":1}')).encode()
    assert tools["alone"].shown == tools["alone"].shown_legacy == (head % ("alone", "")).encode()
    assert tools["odd"].shown == tools["odd"].raw
    assert b"dev.ostiary/operation" in tools["both"].raw


def test_a_legacy_client_gets_no_output_schema_that_it_cannot_read(shelf: Shelf) -> None:
    shelf.approved(
        "notes",
        tool("a", outputSchema={"type": "array"}),
        tool("b", outputSchema={"type": "object"}),
        tool("c", outputSchema=True),
    )
    tools = shelf.catalogue().mounts["/mcp"].tools
    assert [name for name, entry in tools.items() if "outputSchema" in json.loads(entry.shown_legacy)] == ["notes_b"]
    assert all("outputSchema" in json.loads(entry.shown) for entry in tools.values())


def test_header_parameters_are_known_by_their_path(shelf: Shelf) -> None:
    inner = {"type": "object", "properties": {"id": {"type": "integer", "x-mcp-header": "Team"}}}
    schema = {"type": "object", "properties": {"r": {"type": "string", "x-mcp-header": "Region"}, "team": inner}}
    shelf.approved("notes", tool("list", inputSchema=schema))
    entry = shelf.catalogue().mounts["/mcp"].tools["notes_list"]
    assert entry.param_headers == {"Region": ("r",), "Team": ("team", "id")}


def test_the_server_approved_first_keeps_a_uri_on_the_portal(shelf: Shelf) -> None:
    shelf.approved("zoo", resource("file:///readme"), template("file:///{name}"))
    shelf.approved("ant", resource("file:///readme"), resource("ant://x"), template("file:///{+any}"))
    catalogue = shelf.catalogue()
    portal = catalogue.mounts["/mcp"]
    assert portal.resources["file:///readme"].server == "zoo"
    assert portal.resources["ant://x"].server == "ant"
    assert catalogue.mounts["/servers/ant/mcp"].resources["file:///readme"].server == "ant"
    found = portal.resource("file:///other")
    assert found is not None
    assert found.server == "zoo"
    with shelf.database.read() as session:
        assert contested(session, "ant") == {"file:///readme": "zoo"}
        assert contested(session, "zoo") == {}


def test_a_template_stands_for_uris_of_its_form_only(shelf: Shelf) -> None:
    shelf.approved("notes", template("notes://note/{id}{?full}"))
    mount = shelf.catalogue().mounts["/mcp"]
    for uri, fits in (
        ("notes://note/1", True),
        ("notes://note/1?full=1", True),
        ("notes://note/1/2", False),
        ("notes://note/", False),
        ("xnotes://note/1", False),
        ("notes://note/" + "1" * 5000, False),
    ):
        assert (mount.resource(uri) is not None) == fits, uri


def test_ten_thousand_tools_load_in_reasonable_time(shelf: Shelf) -> None:
    few, many = 1000, 4000
    shelf.approved("few", *(tool(f"tool-{index:x}-{index:x}") for index in range(few)))
    began = time.process_time()
    shelf.catalogue()
    small = time.process_time() - began
    shelf.approved("many", *(tool(f"tool-{index:x}-{index:x}") for index in range(many)))
    began = time.process_time()
    assert len(shelf.catalogue().mounts["/mcp"].tools) == few + many
    large = time.process_time() - began
    assert large < 10 * max(small, 0.02) * (few + many) / few  # nothing grows faster than the number of tools


def test_a_catalogue_of_nothing_has_the_portal(shelf: Shelf) -> None:
    catalogue = shelf.catalogue()
    assert list(catalogue.mounts) == ["/mcp"]
    assert catalogue.mounts["/mcp"].servers == ()
