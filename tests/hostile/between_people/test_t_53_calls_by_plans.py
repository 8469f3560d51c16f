"""T-53, T-50 and T-52: what is known of calls in a session serves nobody else, and no body that only looks alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.portal.calls import plans
from tests.fakes.door import Door, Legacy, Line
from tests.fakes.servers.raw import raw_server
from tests.gateway.portal.calls.test_plans import door_to
from tests.gateway.portal.ending import Server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.servers.raw import RawServer

CALL = {"name": "notes_add", "arguments": {"text": "mine"}}


def message(params: Any = CALL, **more: Any) -> Any:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params} | more


def of(headers: list[tuple[str, str]], **changes: str) -> list[tuple[str, str]]:
    """The same headers, with others in their place."""
    return [(name, changes.get(name.lower().replace("-", "_"), value)) for name, value in headers]


def asked(server: RawServer) -> int:
    return len(server.asked_for("tools/call"))


async def known(door: Door, line: Legacy) -> None:
    """From here on such calls go by a plan."""
    assert (await line.say("tools/call", CALL)).status == 200
    assert [head.found.plans for head in door.edge.heads._kept._kept.values() if head.found.plans]


async def test_t_53_somebody_elses_session_is_none_also_where_its_head_is_known(tmp_path: Path) -> None:
    echo = Server("legacy")
    async with (
        raw_server(echo) as server,
        door_to(server, tmp_path, era=echo.registered) as door,
        Legacy(door) as mine,
        Line(door) as theirs,
    ):
        await known(door, mine)
        session = dict(mine.headers)["Mcp-Session-Id"]
        for who in ("reader", "nobody"):
            headers = of(mine.headers, authorization=f"Bearer {door.token(who)}")
            assert ("Mcp-Session-Id", session) in headers
            for _ in range(2):
                got = await theirs.ask("POST", "/mcp", headers, json.dumps(message()).encode())
                assert got.status == 404
        assert asked(server) == 1


async def test_t_53_two_people_have_sessions_of_their_own_at_the_server(tmp_path: Path) -> None:
    echo = Server("legacy")
    async with (
        raw_server(echo) as server,
        door_to(server, tmp_path, era=echo.registered) as door,
        Legacy(door) as one,
        Legacy(door, "reader") as two,
    ):
        for _ in range(3):
            for line in (one, two):
                await line.say("tools/call", CALL)
        sessions = [each.headers["mcp-session-id"] for each in server.asked_for("tools/call")]
        assert len(set(sessions[::2])) == 1
        assert not set(sessions[::2]) & set(sessions[1::2])


META = "io.modelcontextprotocol/"
LIES: dict[str, Any] = {
    "a batch": [message()],
    "a batch of two": [message(), message(id=2)],
    "the words of another era": message(CALL | {"_meta": {META + "protocolVersion": "2026-07-28"}}),
    "no object in its _meta": message(CALL | {"_meta": []}),
    "a tool that may not be called": message(CALL | {"name": "notes_none"}),
    "arguments that are none": message(CALL | {"arguments": ["mine"]}),
    "an id that is none": message(id=None),
    "another version of JSON-RPC": message(jsonrpc="1.0"),
}


@pytest.mark.parametrize("body", LIES.values(), ids=list(LIES))
async def test_t_50_what_only_looks_like_a_known_call_is_read_in_all_strictness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    echo = Server("legacy")
    async with raw_server(echo) as server, door_to(server, tmp_path, era=echo.registered) as door, Legacy(door) as line:
        await known(door, line)
        monkeypatch.setattr(plans.Known, "begin", None)  # by a plan it would fail
        got = await line.post(body)
        assert got.status in {200, 400}
        assert "error" in got.json
        assert asked(server) == 1


@pytest.mark.parametrize(
    "change",
    [
        (b'"text": "mine"', b'"text": "other", "text": "mine"'),
        (b'"name":', b'"name": "notes_long", "name":'),
        (b'"params":', b'"params": {}, "params":'),
        (b'"id": 1', b'"id": 1, "id": 2'),
        (b'"mine"', b'"\\ud800"'),
        (b'"mine"', b"NaN"),
        (b'"mine"', b"1e999"),
    ],
    ids=["a second argument", "a second name", "second params", "a second id", "half a character", "NaN", "too large"],
)
async def test_t_50_a_body_that_two_readers_read_differently_goes_by_no_plan(tmp_path: Path, change) -> None:
    echo = Server("legacy")
    async with raw_server(echo) as server, door_to(server, tmp_path, era=echo.registered) as door, Legacy(door) as line:
        await known(door, line)
        got = await line.ask("POST", "/mcp", line.headers, json.dumps(message()).encode().replace(*change))
        assert got.status == 400
        assert asked(server) == 1


async def test_t_52_a_known_head_that_names_a_tool_calls_no_other(tmp_path: Path) -> None:
    """A legacy client need not name it, but who routes by the header reads it."""
    echo = Server("legacy")
    async with raw_server(echo) as server, door_to(server, tmp_path, era=echo.registered) as door, Legacy(door) as line:
        line.headers.append(("Mcp-Name", "notes_add"))
        await known(door, line)
        got = await line.say("tools/call", CALL | {"name": "notes_long"})
        assert (got.status, got.json["error"]["code"]) == (400, -32020)
        assert asked(server) == 1
