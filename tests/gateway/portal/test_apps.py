"""Pages of tools (MCP Apps), as clients read them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

from authz.policy.policy import Policy
from authz.tables import Rule
from gateway.upstream import Answer
from tests.fakes.door import NOTES, Legacy, ask, catalogue, entry, open_door, upstream

PAGE = "ui://notes/board"
UI = "io.modelcontextprotocol/ui"
ADD = Rule(id="1", subject="user:editor", object="notes.add", action="call")


@asynccontextmanager
async def door_with_page(tmp_path, *rules: Rule, listed: bool = False):
    async def page(*_: object) -> Answer:
        contents = b'[{"uri":"%s","mimeType":"text/html;profile=mcp-app","text":"<p>"}]' % PAGE.encode()
        return Answer(result=b'{"resultType":"complete","contents":%s}' % contents)

    async with open_door(tmp_path) as door:
        shown = [replace(one, page=PAGE) if one.name == "add" else one for one in NOTES]
        from registry.tables import Kind

        entries = [*shown, *([entry("notes", PAGE, Kind.RESOURCE)] if listed else [])]
        capabilities = {"tools": {}, "resources": {}, "extensions": {UI: {}}}
        found = catalogue(entries, [upstream("notes", capabilities=capabilities), upstream("clock")])
        tools = tuple(one for one in shown if one.page)
        found = replace(found, mounts={path: replace(one, pages={PAGE: tools}) for path, one in found.mounts.items()})
        door.snapshots.turn(catalogue=found, policy=Policy(rules, epoch=2))
        door.upstreams.script = page
        yield door


async def read(door, uri: str = PAGE):
    return (await ask(door, "resources/read", {"uri": uri})).json


async def test_who_sees_a_tool_may_read_the_page_that_it_is_shown_with(tmp_path) -> None:
    for listed in (False, True):
        async with door_with_page(tmp_path / str(listed), ADD, listed=listed) as door:
            result = (await read(door))["result"]
            assert result["contents"][0]["uri"] == PAGE
            assert result["cacheScope"] == "private"
            assert door.upstreams.asks[-1].params["uri"] == b'"%s"' % PAGE.encode()
            assert door.records("call.intent")[-1]["object"] == "notes.add"


async def test_who_does_not_see_the_tool_does_not_find_the_page(tmp_path) -> None:
    other = Rule(id="1", subject="user:editor", object="notes.delete", action="call")
    async with door_with_page(tmp_path, other) as door:
        assert (await read(door))["error"]["message"] == "Unknown resource"
        assert door.upstreams.asks == []


async def test_a_rule_against_the_page_holds_whatever_tools_are_seen(tmp_path) -> None:
    deny = Rule(id="2", subject="user:editor", object=f"notes.{PAGE}", action="*", effect="deny")
    for listed in (False, True):
        async with door_with_page(tmp_path / str(listed), ADD, deny, listed=listed) as door:
            assert "error" in await read(door)
            assert door.upstreams.asks == []


async def test_another_uri_of_the_kind_is_no_page(tmp_path) -> None:
    async with door_with_page(tmp_path, ADD) as door:
        assert (await read(door, PAGE + "/x"))["error"]["code"] == -32602


async def test_an_unlisted_page_stays_out_of_the_list(tmp_path) -> None:
    everything = Rule(id="1", subject="user:editor", object="notes.*", action="*")
    async with door_with_page(tmp_path, everything) as door:
        listed = (await ask(door, "resources/list")).json["result"]["resources"]
        assert PAGE not in [one["uri"] for one in listed]
        assert "result" in await read(door)


async def test_that_a_server_has_apps_is_said_and_that_a_client_knows_them_is_passed_on(tmp_path) -> None:
    async with door_with_page(tmp_path, ADD) as door:
        found = (await ask(door, "server/discover")).json["result"]["capabilities"]
        assert found["extensions"] == {UI: {}}
        knows = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {UI: {"mimeTypes": ["text/html"]}}}}
        await ask(door, "tools/call", {"name": "notes_add", "_meta": knows})
        assert UI.encode() in door.upstreams.asks[-1].capabilities


async def test_a_client_of_before_reads_pages_too(tmp_path) -> None:
    async with door_with_page(tmp_path, ADD) as door, Legacy(door) as client:
        result = (await client.say("resources/read", {"uri": PAGE})).json["result"]
        assert result["contents"][0]["uri"] == PAGE
