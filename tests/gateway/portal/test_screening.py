"""What a server may ask of whoever calls, in either era."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.portal.answers.screening import refusal, signed
from gateway.upstream import Answer
from registry.tables import Era
from tests.fakes.door import NOTES, Legacy, ask, catalogue, open_door, upstream

HOME = "https://door.example"
EVERYTHING = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {}}
DECLARES = {"_meta": {"io.modelcontextprotocol/clientCapabilities": EVERYTHING}}
CALL = {"name": "notes_add", **DECLARES}
PASSWORD = {"message": "Log in", "requestedSchema": {"type": "object", "properties": {"password": {"type": "string"}}}}


def asking(method: str, params: dict[str, Any]) -> Any:
    async def script(*_: object) -> Answer:
        requests = {"k": {"method": method, "params": params}}
        return Answer(result=json.dumps({"resultType": "input_required", "inputRequests": requests}).encode())

    return script


@asynccontextmanager
async def door_to(tmp_path, script: Any, era: Era = Era.MODERN, allowed: tuple[str, ...] = ("elicitation",)):
    async with open_door(tmp_path) as door:
        servers = [upstream("notes", era, allowed=frozenset(allowed)), upstream("clock")]
        door.snapshots.turn(catalogue=catalogue(NOTES, servers))
        door.upstreams.script = script
        yield door


async def test_a_question_is_put_under_the_name_of_the_server(tmp_path) -> None:
    for params in ({"message": "Name?"}, {"mode": "url", "message": "Name?", "url": "https://there.example/x"}):
        async with door_to(tmp_path, asking("elicitation/create", params)) as door:
            asked = (await ask(door, "tools/call", CALL)).json["result"]["inputRequests"]["k"]["params"]
            assert asked == params | {"message": "[Notes] Name?"}


@pytest.mark.parametrize("method", ["sampling/createMessage", "roots/list", "tools/call"])
async def test_what_a_server_may_not_ask_for_is_answered_for_the_client_in_words(tmp_path, method: str) -> None:
    async with door_to(tmp_path, asking(method, {})) as door:
        result = (await ask(door, "tools/call", CALL)).json["result"]
        assert result["isError"] is True
        assert "not allowed" in result["content"][0]["text"]
        assert door.records("call.refused")[-1]["reason"] == "question"


async def test_only_what_it_may_ask_for_is_declared_to_a_server(tmp_path) -> None:
    for allowed in ((), ("elicitation",), ("roots", "sampling")):
        async with door_to(tmp_path, asking("elicitation/create", {}), allowed=allowed) as door:
            await ask(door, "tools/call", CALL)
            assert json.loads(door.upstreams.asks[-1].capabilities) == {name: EVERYTHING[name] for name in allowed}


@pytest.mark.parametrize("era", list(Era))
async def test_the_same_holds_for_what_a_legacy_client_declared(tmp_path, era: Era) -> None:
    async with (
        door_to(tmp_path, asking("roots/list", {}), era, ("roots",)) as door,
        Legacy(door, **EVERYTHING, tasks={"cancel": {}}) as client,
    ):
        await client.start("tools/call", {"name": "notes_add"})
        await client.head()
        assert json.loads(door.upstreams.asks[-1].capabilities) == {"roots": {}}


async def test_a_form_that_asks_for_a_secret_is_refused_with_words(tmp_path) -> None:
    async with door_to(tmp_path, asking("elicitation/create", PASSWORD)) as door:
        result = (await ask(door, "tools/call", CALL)).json["result"]
        assert result["isError"] is True
        assert "Notes asked for a secret in a form (password)" in result["content"][0]["text"]
        prompt = await ask(door, "prompts/get", {"name": "notes_ask", **DECLARES})
        assert prompt.json["error"]["code"] == 4030


async def test_a_legacy_server_that_asks_for_a_secret_gets_a_no_and_nobody_is_asked(tmp_path) -> None:
    async def asks(server, asked, down) -> Answer:
        said = await down.request("elicitation/create", json.dumps(PASSWORD).encode())
        return Answer(result=b'{"resultType":"complete","content":[],"said":%s}' % said)

    async with door_to(tmp_path, asks, Era.LEGACY) as door, Legacy(door, elicitation={}) as client:
        assert (await client.say("tools/call", {"name": "notes_add"})).json["result"]["said"] == {"action": "decline"}
        record = door.records("question.refused")[-1]
        assert record["server"] == "notes"
        assert "secret" in record["reason"]


LINKS = [
    ("https://there.example/x?y=z", True),
    ("http://localhost:7000/x", True),
    ("http://127.0.0.1:7000/x", True),
    ("http://[::1]:7000/x", True),
    ("http://there.example/x", False),
    ("javascript:alert(1)", False),
    ("file:///etc/passwd", False),
    ("https://door.example/oauth/authorize?client_id=x", False),
    ("https://DOOR.example:443/connect", False),
    ("https://door.example@there.example/", False),
    ("https://", False),
    ("https://there.example:x/", False),
    ("//there.example", False),
    ("https://there.example/\u202e", False),
    ("https://door.example\\connect", False),
    ("https://door%2eexample/connect", False),
    ("https://door\u3002example/connect", False),
    ("https://door\uff0eexample/connect", False),
    ("https://door.example./connect", False),
    ("https://2130706433/x", False),
    ("https://0x7f000001/x", False),
    ("https://127.1/x", False),
    ("https://10.0.0.7/x", True),
    ("https://xn--bcher-kva.example/x", True),
    (7, False),
    (None, False),
]


@pytest.mark.parametrize(("url", "may"), LINKS)
def test_a_link_leads_to_https_or_to_this_machine_and_never_to_a_page_of_ours(url: Any, may: bool) -> None:
    params = json.dumps({"mode": "url", "message": "Go", "url": url}).encode()
    assert (refusal(upstream("notes"), "elicitation/create", params, HOME) == "") is may


def test_a_form_that_nobody_could_read_through_is_not_put() -> None:
    params = json.dumps({"message": "enter " * 200_000, "requestedSchema": {"properties": {"a": {}}}}).encode()
    assert "more than a form may hold" in refusal(upstream("notes"), "elicitation/create", params, HOME)


@pytest.mark.parametrize("params", [b"[]", b"7", b'{"mode":"telepathy"}', b'{"mode":7}', b"{"])
def test_what_is_no_question_is_not_put(params: bytes) -> None:
    assert refusal(upstream("notes"), "elicitation/create", params, HOME)


def test_what_is_asked_of_software_is_not_signed() -> None:
    assert signed(upstream("notes"), "sampling/createMessage", b'{"messages":[]}') == b'{"messages":[]}'


URL = {"url": "https://there.example/x", "message": "Sign there", "elicitationId": "e"}


def needs(*links: dict[str, Any]) -> Any:
    async def script(*_: object) -> Answer:
        error = {
            "code": -32042,
            "message": "first",
            "data": {"elicitations": [{"mode": "url", **one} for one in links]},
        }
        return Answer(error=json.dumps(error).encode())

    return script


async def test_a_server_that_wants_a_page_opened_is_told_in_words_to_who_knows_no_links(tmp_path) -> None:
    async with door_to(tmp_path, needs(URL), Era.LEGACY) as door:
        result = (await ask(door, "tools/call", {"name": "notes_add"})).json["result"]
        assert result["isError"] is True
        assert "[Notes] Sign there Open https://there.example/x" in result["content"][0]["text"]
        async with Legacy(door, version="2025-06-18", elicitation={}) as client:
            said = (await client.say("tools/call", {"name": "notes_add"})).json["result"]
            assert "https://there.example/x" in said["content"][0]["text"]
            assert "resultType" not in said


async def test_a_client_of_the_same_revision_gets_the_error_under_the_servers_name(tmp_path) -> None:
    async with door_to(tmp_path, needs(URL), Era.LEGACY) as door, Legacy(door, elicitation={"url": {}}) as client:
        error = (await client.say("tools/call", {"name": "notes_add"})).json["error"]
        assert error["code"] == -32042
        assert error["data"]["elicitations"] == [{"mode": "url", **URL, "message": "[Notes] Sign there"}]


async def test_a_link_that_may_not_be_opened_is_in_no_answer(tmp_path) -> None:
    bad = {**URL, "url": "http://there.example/x"}
    async with door_to(tmp_path, needs(URL, bad), Era.LEGACY) as door, Legacy(door, elicitation={"url": {}}) as client:
        assert "there.example" not in (await ask(door, "tools/call", {"name": "notes_add"})).body.decode()
        assert "there.example" not in (await client.say("tools/call", {"name": "notes_add"})).body.decode()
