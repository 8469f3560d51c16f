"""T-55: what a server leaves with the client between two rounds of a call."""

from __future__ import annotations

import base64
import json
import time

import pytest

from gateway.upstream import Answer
from tests.fakes.door import ask, open_door

CALL = {"name": "notes_add", "arguments": {"b": 1, "a": 2}}


async def rounds(server, ask, down) -> Answer:
    if "requestState" in ask.params:
        return Answer(result=b'{"resultType":"complete","content":[],"state":%s}' % ask.params["requestState"])
    question = b'{"q":{"method":"elicitation/create","params":{"message":"?"}}}'
    return Answer(
        result=b'{"resultType":"input_required","inputRequests":%s,"requestState":"theirs \\u00e9"}' % question
    )


async def state(door, **more) -> str:
    result = (await ask(door, "tools/call", CALL, **more)).json["result"]
    assert result["resultType"] == "input_required"
    assert result["inputRequests"]["q"]["params"]["message"].endswith("?")
    return result["requestState"]


def retry(given: object, **more) -> dict:
    return {**CALL, "requestState": given, "inputResponses": {"q": {"action": "accept"}}, **more}


async def test_the_state_comes_back_to_the_server_as_it_was_and_only_once(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        door.upstreams.script = rounds
        given = await state(door)
        assert "theirs" not in base64.urlsafe_b64decode(given).decode("latin-1")
        got = await ask(door, "tools/call", retry(given, arguments={"a": 2, "b": 1}))
        assert got.json["result"]["state"] == "theirs é"
        assert json.loads(door.upstreams.asks[-1].params["inputResponses"]) == {"q": {"action": "accept"}}
        await refused(door, retry(given))


async def refused(door, params: dict, **more) -> None:
    before = len(door.upstreams.asks)
    got = await ask(door, "tools/call", params, **more)
    assert (got.status, got.json["error"]["code"]) == (200, -32602)
    assert len(door.upstreams.asks) == before


async def test_t_55_a_state_with_any_byte_changed_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        door.upstreams.script = rounds
        sealed = bytearray(base64.urlsafe_b64decode(await state(door)))
        for place in range(len(sealed)):
            sealed[place] ^= 1
            await refused(door, retry(base64.urlsafe_b64encode(sealed).decode()))
            sealed[place] ^= 1
        assert (await ask(door, "tools/call", retry(base64.urlsafe_b64encode(sealed).decode()))).status == 200


@pytest.mark.parametrize("given", [None, 7, "", "theirs", {"a": 1}])
async def test_t_55_a_state_that_is_none_of_ours_is_refused(tmp_path, given: object) -> None:
    async with open_door(tmp_path) as door:
        await refused(door, retry(given))


async def test_t_55_a_state_of_another_tool_person_request_or_url_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        door.upstreams.script = rounds
        given = await state(door)
        await refused(door, retry(given, name="notes_delete"))
        await refused(door, retry(given, arguments={"a": 2, "b": 2}))
        await refused(door, retry(given), who="reader")
        await refused(door, retry(given, name="add"), path="/servers/notes/mcp")


async def test_t_55_a_state_that_is_too_old_is_refused(tmp_path, monkeypatch) -> None:
    async with open_door(tmp_path) as door:
        door.upstreams.script = rounds
        given = await state(door)
        real = time.time
        monkeypatch.setattr("gateway.portal.calls.rounds.time.time", lambda: real() + 601)
        now = real()
        monkeypatch.setattr("tests.fakes.door.mint", minting_at(now + 601))
        await refused(door, retry(given))


def minting_at(now: float):
    from authz.tokens.minting import mint

    return lambda keys, asked: mint(keys, asked, now)


async def test_a_question_that_hides_behind_an_escape_is_still_one(tmp_path) -> None:
    async def hides(*_: object) -> Answer:
        return Answer(result=b'{"resultType":"input\\u005frequired","requestState":"theirs"}')

    async with open_door(tmp_path) as door:
        door.upstreams.script = hides
        assert (await ask(door, "tools/call", CALL)).json["result"]["requestState"] != "theirs"


async def test_t_55_a_state_that_is_refused_is_on_record(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        await refused(door, retry("forged"))
        (record,) = door.records("call.refused")
        assert (record["who"], record["object"], record["reason"]) == ("user:editor", "notes.add", "state")
        assert door.records("call.intent") == []
