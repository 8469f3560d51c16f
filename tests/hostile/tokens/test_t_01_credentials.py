"""T-01: nobody gets past the token check, and nobody learns more than where to get a token."""

from __future__ import annotations

import pytest

from tests.fakes.door import Line, modern, open_door

BAD = {
    "none": [],
    "basic": [("Authorization", "Basic dXNlcjpwYXNz")],
    "one byte": [("Authorization", "Bearer x")],
    "empty": [("Authorization", "Bearer ")],
    "nine kibibytes": [("Authorization", "Bearer " + "a" * 9000)],
}


@pytest.mark.parametrize("credential", [pytest.param(value, id=name) for name, value in BAD.items()])
async def test_t_01_without_a_good_token_there_is_a_challenge_and_nothing_else(tmp_path, credential) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern("x", "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", "/mcp", [*headers[1:], *credential], body)
        assert got.status == 401
        challenge = got.headers["www-authenticate"]
        assert f'resource_metadata="{door.base}/.well-known/oauth-protected-resource/mcp"' in challenge
        assert ("invalid_token" in challenge) is (
            bool(credential) and credential[0][1].startswith("Bearer") and len(credential[0][1]) > 7
        )
        assert door.upstreams.asks == []
        refusals = door.records("refused")
        assert [line["source"] for line in refusals] == ["127.0.0.1"]
        assert not door.records("call.intent")


async def test_t_01_a_token_in_the_query_is_no_token(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern("x", "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", f"/mcp?access_token={door.token()}", headers[1:], body)
        assert got.status == 401


async def test_t_01_two_authorization_headers_are_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", "/mcp", [headers[0], *headers], body)
        assert got.status == 400


async def test_t_01_white_space_inside_the_credential_is_no_part_of_a_token(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern("x", "tools/call", {"name": "notes_add"})
        for value in (f"Bearer  {door.token()}", f"Bearer {door.token()} x", f"Bearer\t{door.token()}"):
            got = await line.ask("POST", "/mcp", [*headers[1:], ("Authorization", value)], body)
            assert got.status == 401


async def test_a_token_of_another_resource_is_refused_here(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(path="/servers/notes/mcp"), "tools/list")
        assert (await line.ask("POST", "/mcp", headers, body)).status == 401
        assert (await line.ask("POST", "/servers/notes/mcp", headers, body)).status == 200


async def test_the_credential_is_judged_before_the_body_is_looked_at(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, _ = modern("x", "tools/call")
        assert (await line.ask("POST", "/mcp", headers, b"{not json")).status == 401


async def test_when_revocations_cannot_be_learned_calls_wait(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        door.snapshots.is_fresh = False
        got = await line.ask("POST", "/mcp", *modern(door.token(), "tools/call", {"name": "notes_add"}))
        assert got.status == 503
        assert "retry-after" in got.headers
