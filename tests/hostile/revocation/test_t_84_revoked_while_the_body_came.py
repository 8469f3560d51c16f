"""T-84: a request that is held open while something is revoked gains nothing by it."""

from __future__ import annotations

import pytest

from authz.policy.policy import Policy
from tests.fakes.door import Legacy, Line, catalogue, modern, open_door

CALL = {"name": "notes_add", "arguments": {"text": "hi"}}


def without_a_tool(door):
    return catalogue([], list(door.snapshots.current.catalogue.upstreams.values()), epoch=2)


REVOKED = {
    "the person": (lambda _: {"members": {}}, 401),
    "the client": (lambda _: {"clients": frozenset({"other"})}, 401),
    "the rule": (lambda _: {"policy": Policy([], epoch=2)}, 200),
    "the tool": (lambda door: {"catalogue": without_a_tool(door)}, 200),
}


async def held_open(line: Line, headers, body: bytes) -> None:
    """Sends all but the body, and returns when the gateway asks for it: it has looked at the token by then."""
    names = [f"{name}: {value}" for name, value in headers]
    lines = [
        "POST /mcp HTTP/1.1",
        f"Host: {line._host}",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
        *names,
    ]
    line.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    assert (await line.head()).status == 100


@pytest.mark.parametrize(("changes", "status"), REVOKED.values(), ids=list(REVOKED))
async def test_t_84_a_late_body_is_judged_by_what_holds_when_it_is_there(tmp_path, changes, status: int) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", CALL)
        await held_open(line, headers, body)
        door.snapshots.turn(**changes(door))
        got = await line.raw(body)
        assert got.status == status
        assert status == 401 or got.json["error"]["message"] == "Unknown tool: notes_add"
        assert door.upstreams.asks == []
        assert door.records("call.intent") == []


async def test_t_84_a_late_body_of_a_legacy_session_is_judged_so_too(tmp_path) -> None:
    async with open_door(tmp_path) as door, Legacy(door) as line:
        body = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"notes_add","arguments":{}}}'
        await held_open(line, line.headers, body)
        door.snapshots.turn(members={})
        assert (await line.raw(body)).status == 401
        assert door.upstreams.asks == []


async def test_t_84_a_late_body_is_served_where_nothing_was_revoked(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", CALL)
        await held_open(line, headers, body)
        door.snapshots.turn()
        assert (await line.raw(body)).json["result"]["content"]
        assert len(door.upstreams.asks) == 1
