"""T-41, T-48 and T-52: what headers and names say, and what the body says."""

from __future__ import annotations

import base64
import json

import pytest
from mcp.shared import inbound

from gateway.portal.headers import decode, encode
from tests.fakes.door import Legacy, Line, ask, modern, open_door

CALL = {"name": "notes_add", "arguments": {}}


def changed(headers, name: str, *values: str):
    return [each for each in headers if each[0] != name] + [(name, value) for value in values]


def b64(text: str) -> str:
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


WRONG = {
    "name missing": ("Mcp-Name", []),
    "name of another tool": ("Mcp-Name", ["notes_delete"]),
    "name doubled": ("Mcp-Name", ["notes_add", "notes_add"]),
    "name in another case": ("Mcp-Name", ["Notes_add"]),
    "name in broken base64": ("Mcp-Name", ["=?base64?%%%?="]),
    "name in unpadded base64": ("Mcp-Name", [b64("notes_add1").replace("==", "")]),
    "name in base64 of another": ("Mcp-Name", [b64("notes_delete")]),
    "sentinel in capitals": ("Mcp-Name", [b64("notes_add").replace("base64", "BASE64")]),
    "method missing": ("Mcp-Method", []),
    "method of another": ("Mcp-Method", ["tools/list"]),
    "method doubled": ("Mcp-Method", ["tools/call", "tools/list"]),
    "version other than the body's": ("MCP-Protocol-Version", ["2027-01-01"]),
    "version of yesterday": ("MCP-Protocol-Version", ["2025-11-25"]),
    "version missing": ("MCP-Protocol-Version", []),
    "version doubled": ("MCP-Protocol-Version", ["2026-07-28", "2026-07-28"]),
}


@pytest.mark.parametrize(("name", "values"), [pytest.param(*pair, id=what) for what, pair in WRONG.items()])
async def test_t_52_headers_that_disagree_with_the_body_are_refused(tmp_path, name: str, values: list[str]) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", CALL)
        got = await line.ask("POST", "/mcp", changed(headers, name, *values), body)
        assert (got.status, got.json["error"]["code"]) == (400, -32020)
        assert got.json["id"] == 1
        assert door.upstreams.asks == []


async def test_t_52_a_correct_base64_form_is_accepted(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", CALL)
        got = await line.ask("POST", "/mcp", changed(headers, "Mcp-Name", b64("notes_add")), body)
        assert got.status == 200


@pytest.mark.parametrize(
    ("arguments", "lines", "status"),
    [
        ({"region": "us"}, [("Mcp-Param-Region", "us")], 200),
        ({"region": "us"}, [], 400),
        ({"region": "us"}, [("Mcp-Param-Region", "eu")], 400),
        ({"region": "us"}, [("Mcp-Param-Region", "us"), ("Mcp-Param-Region", "us")], 400),
        ({"region": None}, [], 200),
        ({}, [("Mcp-Param-Region", "us")], 400),
        ({"region": "é"}, [("Mcp-Param-Region", b64("é"))], 200),
        ({"nested": {"count": 42}}, [("Mcp-Param-Count", "42.0")], 200),
        ({"nested": {"count": 42}}, [("Mcp-Param-Count", "43")], 400),
    ],
)
async def test_t_52_parameters_mirrored_in_headers_must_agree(tmp_path, arguments, lines, status: int) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", {"name": "notes_regional", "arguments": arguments})
        got = await line.ask("POST", "/mcp", [*headers, *lines], body)
        assert got.status == status, got.body


async def test_an_unknown_version_is_told_which_are_known(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/list")
        body = body.replace(b"2026-07-28", b"2031-01-01")
        got = await line.ask("POST", "/mcp", changed(headers, "MCP-Protocol-Version", "2031-01-01"), body)
        assert (got.status, got.json["error"]["code"]) == (400, -32022)
        assert got.json["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2031-01-01"}


@pytest.mark.parametrize(
    "missing", ["io.modelcontextprotocol/protocolVersion", "io.modelcontextprotocol/clientCapabilities"]
)
async def test_a_body_without_the_envelope_is_refused(tmp_path, missing: str) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/list")
        message = json.loads(body)
        del message["params"]["_meta"][missing]
        got = await line.ask("POST", "/mcp", headers, json.dumps(message).encode())
        assert (got.status, got.json["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize(
    "text", ["plain", "", " edge", "edge ", "é", "=?base64?eA==?=", "tab\tin", "a\nb", "\U0001f600", "=?base64?"]
)
def test_header_values_are_encoded_so_that_the_sdk_reads_them_and_the_other_way_round(text: str) -> None:
    assert inbound.decode_header_value(encode(text).decode()) == text
    assert decode(inbound.encode_header_value(text).encode()) == text


@pytest.mark.parametrize("value", ["=?base64?%%%?=", "=?base64?YQ?=", "=?base64?YR==?=", "=?base64?/w==?="])
def test_broken_encodings_are_nothing_to_us_and_to_the_sdk(value: str) -> None:
    assert decode(value.encode()) is None
    assert inbound.decode_header_value(value) is None


@pytest.mark.parametrize(
    "name", ["srv/../x", "notes_add\n", "NOTES_ADD", "notes//add", "notes%5Fadd", "n" * 129, "notes.add", ""]
)
async def test_t_41_names_that_are_nearly_right_are_unknown_before_policy_is_asked(tmp_path, name: str) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", {"name": name})
        got = await line.ask("POST", "/mcp", changed(headers, "Mcp-Name", encode(name).decode()), body)
        assert (got.status, got.json["error"]["code"]) == (200, -32602)
        assert ("decided",) not in {each[:1] for each in door.telemetry.seen}


async def test_t_48_nothing_a_caller_says_gets_into_address_or_headers(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        for text in ("../", "%2f", "?", "\r\nX-Evil: 1", "Authorization: Bearer x"):
            got = await ask(door, "tools/call", {"name": "notes_add", "arguments": {"text": text}})
            assert got.status == 200
        registered = door.snapshots.current.catalogue.upstreams["notes"]
        assert all(server is registered for server in door.upstreams.servers)
        assert all(each.param_headers == () and each.name == "add" for each in door.upstreams.asks)


async def test_t_48_a_mirrored_argument_cannot_break_out_of_its_header(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        evil = "us\r\nX-Evil: 1"
        headers, body = modern(door.token(), "tools/call", {"name": "notes_regional", "arguments": {"region": evil}})
        got = await line.ask("POST", "/mcp", [*headers, ("Mcp-Param-Region", b64(evil))], body)
        assert got.status == 200
        assert door.upstreams.asks[0].param_headers == ((b"mcp-param-region", b64(evil).encode()),)


@pytest.mark.parametrize(
    "said", [("Mcp-Method", "tools/list"), ("Mcp-Name", "clock_now"), ("Mcp-Name", ""), ("Mcp-Name", "=?base64?%%?=")]
)
async def test_t_52_a_legacy_client_cannot_say_another_tool_in_a_header_either(tmp_path, said) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as line:
        line.headers.append(said)
        got = await line.say("tools/call", CALL)
        assert (got.status, got.json["error"]["code"]) == (400, -32020)
        assert door.upstreams.asks == []


async def test_t_52_headers_of_a_legacy_client_that_agree_do_no_harm(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as line:
        line.headers += [("Mcp-Method", "tools/call"), ("Mcp-Name", "notes_add")]
        assert "result" in (await line.say("tools/call", CALL)).json
