"""T-50, T-57: a batch is no way around policy, around the record, or to have more read than one body may hold."""

from __future__ import annotations

import json

import pytest

from tests.fakes.door import Legacy, Line, modern, open_door

OLD = "2025-03-26"


def call(ident: int, name: str) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": ident, "method": "tools/call", "params": {"name": name, "arguments": {}}}


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_t_50_what_is_refused_alone_is_refused_among_others(tmp_path, place: int) -> None:
    names = ["notes_add", "notes_add"]
    names.insert(place, "notes_delete")
    async with open_door(tmp_path) as door, Legacy(door, "reader", version=OLD) as client:
        got = await client.post([call(number, name) for number, name in enumerate(names)])
        refused = [each["id"] for each in got.json if each["result"].get("isError")]
        assert refused == [place]
        assert [ask.name for ask in door.upstreams.asks] == ["add", "add"]
        assert [line["object"] for line in door.records("call.refused")] == ["notes.delete"]
        assert len(door.records("call.intent")) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100 + b"]" * 100,
        b'[{"jsonrpc":"2.0","id":1,"method":"ping","id":2}]',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]{}',
        b'[{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":' + b"[" * 40 + b"]" * 40 + b"}}]",
        b"[" + b",".join([b"0"] * 20_000) + b"]",
        b'\xef\xbb\xbf[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    ],
)
async def test_t_50_a_batch_that_readers_could_read_differently_is_refused(tmp_path, body: bytes) -> None:
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        got = await client.ask("POST", "/mcp", client.headers, body)
        assert got.status == 400
        assert "result" not in got.json


async def test_t_50_headers_that_name_one_call_do_not_go_with_many(tmp_path) -> None:
    """Whoever routes by Mcp-Name would see one tool where there are two."""
    async with open_door(tmp_path) as door, Legacy(door, version=OLD) as client:
        client.headers.append(("Mcp-Name", "notes_add"))
        got = await client.post([call(1, "notes_add"), call(2, "clock_now")])
        assert (got.status, got.json["error"]["code"]) == (400, -32020)
        assert door.upstreams.asks == []


async def test_t_50_a_modern_request_is_never_a_batch(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", {"name": "notes_add", "arguments": {}})
        got = await line.ask("POST", "/mcp", headers, b"[%s]" % body)
        assert (got.status, got.json["error"]["code"]) == (400, -32600)
        got = await line.ask("POST", "/mcp", headers, b" \n[" + json.dumps(call(1, "notes_add")).encode() + b"]")
        assert got.status == 400
        assert door.upstreams.asks == []
