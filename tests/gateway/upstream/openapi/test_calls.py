"""A call of a tool that is an operation of an HTTP API: what leaves, byte for byte, and what comes back."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream import Ask, UpstreamBroken, UpstreamBusy
from gateway.upstream.messages import CredentialRefused
from registry.catalogue import Credential
from registry.tables import Transport
from tests.fakes.servers.api import described, operation, tool
from tests.fakes.servers.raw import LAST, STREAM, Asked, RawServer, chunk, http, principal, raw_server

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from gateway.upstream.connections import Servers
    from registry.catalogue import Upstream

DOING = described()


def at(server: RawServer, target: str = "/api", **changes: Any) -> Upstream:
    return server.upstream(target=target, transport=Transport.OPENAPI, slug="todo", **changes)


def saying(answer: bytes) -> Callable[..., Any]:
    async def respond(asked: Asked, writer: asyncio.StreamWriter) -> bytes:
        return answer

    return respond


class Client:
    def __init__(self, servers: Servers, caller: Any) -> None:
        self.servers, self.caller = servers, caller

    async def call(
        self, description: dict[str, Any], name: str, arguments: Any, server: Upstream, credential: Any = None
    ) -> dict[str, Any]:
        params = {
            "name": b'"x"',
            "arguments": arguments if isinstance(arguments, bytes) else json.dumps(arguments).encode(),
        }
        ask = Ask(
            method="tools/call", name=name, params=params, principal=principal("ann"), entry=tool(description, name)
        )
        answer = await self.servers.send(server, ask, self.caller, credential)
        return json.loads(answer.result)

    async def sent(self, description: dict[str, Any], arguments: Any, name: str = "op") -> Asked:
        """What leaves for these arguments."""
        async with raw_server(saying(http(b"{}"))) as server:
            result = await self.call(description, name, arguments, at(server))
            assert result["isError"] is False, result
            return server.asked[0]

    async def refused(self, description: dict[str, Any], arguments: Any, name: str = "op") -> str:
        """What the caller is told, when nothing leaves."""
        async with raw_server(saying(http(b"{}"))) as server:
            result = await self.call(description, name, arguments, at(server))
            assert result["isError"] is True
            assert server.asked == []
            return result["content"][0]["text"]

    async def answered(self, answer: bytes, name: str = "items_get", arguments: Any = None) -> dict[str, Any]:
        async with raw_server(saying(answer)) as server:
            return await self.call(DOING, name, arguments or {"item": "7"}, at(server))


@pytest.fixture
def client(servers: Servers, caller: Any) -> Client:
    return Client(servers, caller)


async def test_a_call_is_one_request_below_the_registered_address(client):
    asked = await client.sent(DOING, {"page": 2, "tags": ["a b", "c&d"], "X-Trace": "t1"}, "items_list")
    assert asked.line == "GET /api/items?page=2&tags=a%20b&tags=c%26d HTTP/1.1"
    assert asked.headers["x-trace"] == "t1"
    assert asked.headers["accept"] == "application/json, */*;q=0.1"
    assert "content-type" not in asked.headers
    assert "content-length" not in asked.headers
    assert not {name for name in asked.headers if name.startswith("mcp-")}


async def test_json_leaves_as_the_caller_wrote_it(client):
    asked = await client.sent(DOING, b'{"body": {"title":"\\u00e9",  "n":12345678901234567890.10}}', "items_add")
    assert asked.line == "POST /api/items HTTP/1.1"
    assert asked.body == b'{"title":"\\u00e9",  "n":12345678901234567890.10}'
    assert asked.headers["content-type"] == "application/json"


async def test_what_is_lacking_or_unknown_is_named_and_nothing_leaves(client):
    assert "needed: item" in await client.refused(DOING, {}, "items_get")
    assert "needed: body" in await client.refused(DOING, {}, "items_add")
    assert "no argument 'itme'; there are: item" in await client.refused(DOING, {"itme": "1"}, "items_get")
    assert "no argument 'Authorization'" in await client.refused(DOING, {"Authorization": "x"}, "items_list")


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {}, **more}


PEOPLE = {"role": "admin", "first": "A x"}


@pytest.mark.parametrize(
    ("more", "value", "expected"),
    [  # after the table "Style Examples" of the specification
        ({}, "blue", "color=blue"),
        ({}, ["blue", "bl,ack"], "color=blue&color=bl%2Cack"),
        ({"explode": False}, ["blue", "bl,ack"], "color=blue,bl%2Cack"),
        ({}, PEOPLE, "role=admin&first=A%20x"),
        ({"explode": False}, PEOPLE, "color=role,admin,first,A%20x"),
        ({"style": "spaceDelimited", "explode": False}, ["a", "b"], "color=a%20b"),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "color=a%7Cb"),
        ({"style": "deepObject", "explode": True}, PEOPLE, "color%5Brole%5D=admin&color%5Bfirst%5D=A%20x"),
        ({"style": "deepObject"}, {"a": {"b": 1}}, "color%5Ba%5D%5Bb%5D=1"),
        ({"content": {"application/json": {}}}, {"a": [1]}, "color=%7B%22a%22%3A%5B1%5D%7D"),
        ({"allowReserved": True}, "a/b?c&d=e#f", "color=a/b?c%26d%3De%23f"),
        ({}, True, "color=true"),
        ({}, 1.5, "color=1.5"),
        ({}, "", "color="),
        ({}, "a\r\nb\0é", "color=a%0D%0Ab%00%C3%A9"),
    ],
)
async def test_a_query_is_written_in_the_style_of_its_parameter(client, more, value, expected):
    asked = await client.sent(operation("/x", parameter("color", "query", **more)), {"color": value})
    assert asked.line == f"GET /api/x?{expected} HTTP/1.1"


@pytest.mark.parametrize(
    ("more", "value", "expected"),
    [
        ({}, "blue", "blue"),
        ({}, ["blue", "black"], "blue,black"),
        ({}, PEOPLE, "role,admin,first,A%20x"),
        ({"explode": True}, PEOPLE, "role=admin,first=A%20x"),
        ({"style": "label"}, "blue", ".blue"),
        ({"style": "label", "explode": True}, ["a", "b"], ".a.b"),
        ({"style": "matrix"}, "blue", ";color=blue"),
        ({"style": "matrix"}, ["a", "b"], ";color=a,b"),
        ({"style": "matrix", "explode": True}, ["a", "b"], ";color=a;color=b"),
        ({"style": "matrix", "explode": True}, PEOPLE, ";role=admin;first=A%20x"),
        ({}, "ä?#;=&+", "%C3%A4%3F%23%3B%3D%26%2B"),
        ({"x-multi-segment": True}, "docs/read me.md", "docs/read%20me.md"),
    ],
)
async def test_a_path_is_written_in_the_style_of_its_parameter(client, more, value, expected):
    asked = await client.sent(operation("/x/{color}/y", parameter("color", "path", **more)), {"color": value})
    assert asked.line == f"GET /api/x/{expected}/y HTTP/1.1"


async def test_headers_and_cookies_are_written_as_described(client):
    header, cookie = parameter("X-Ids", "header"), parameter("lang", "cookie")
    asked = await client.sent(operation("/x", header, cookie), {"X-Ids": [1, 2], "lang": "de; x=1"})
    assert asked.headers["x-ids"] == "1,2"
    assert asked.headers["cookie"] == "lang=de%3B%20x%3D1"


async def test_null_stands_for_nothing(client):
    asked = await client.sent(DOING, {"page": None, "tags": None}, "items_list")
    assert asked.line == "GET /api/items HTTP/1.1"


def taking(kind: str, schema: dict[str, Any], **media: Any) -> dict[str, Any]:
    return operation("/x", method="put", requestBody={"content": {kind: {"schema": schema, **media}}})


async def test_a_form_is_written_as_browsers_write_it(client):
    kind = "application/x-www-form-urlencoded"
    asked = await client.sent(taking(kind, {"type": "object"}), {"body": {"a": "x y&z", "b": [1, 2], "c": {"d": 1}}})
    assert asked.headers["content-type"] == kind
    assert asked.body == b"a=x+y%26z&b=1&b=2&c=%7B%22d%22%3A1%7D"
    assert asked.line.startswith("PUT ")


async def test_a_form_with_files_is_written_in_parts(client):
    schema = {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}, "note": {}}}
    data = base64.b64encode(b"\x00\xff--\r\n").decode()
    asked = await client.sent(taking("multipart/form-data", schema), {"body": {"file": data, 'no"te': "x"}})
    boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
    parts = asked.body.split(b"--" + boundary)
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    assert b'name="file"; filename="file"' in parts[1]
    assert parts[1].endswith(b"\r\n\r\n\x00\xff--\r\n\r\n")
    assert b'name="no%22te"\r\n\r\nx\r\n' in parts[2]


async def test_bytes_are_given_in_base64(client):
    description = taking("application/octet-stream", {})
    asked = await client.sent(description, {"body": base64.b64encode(b"\x01\x02").decode()})
    assert (asked.body, asked.headers["content-type"]) == (b"\x01\x02", "application/octet-stream")
    assert "must be base64" in await client.refused(description, {"body": "no base64!"})


async def test_the_credential_comes_last_and_is_nobody_elses_to_say(client):
    async with raw_server(saying(http(b"{}"))) as server:
        upstream = at(server)
        origin = f"http://127.0.0.1:{server.port}"
        key = Credential(server="todo", origin=origin, header=b"x-trace", value=b"ours")
        result = await client.call(DOING, "items_list", {"page": 1}, upstream, key)
        assert result["isError"] is False
        assert server.asked[0].head.endswith(b"x-trace: ours\r\n\r\n")
        result = await client.call(DOING, "items_list", {"X-Trace": "theirs"}, upstream, key)
        assert result["isError"] is True
        assert len(server.asked) == 1


async def test_an_object_is_structure_and_text(client):
    result = await client.answered(http(b' {"id": 7, "x": 1e400}'.replace(b"1e400", b"1.50")))
    assert result["structuredContent"] == {"id": 7, "x": 1.5}
    assert result["content"] == [{"type": "text", "text": ' {"id": 7, "x": 1.50}'}]
    assert result["_meta"]["dev.ostiary/status"] == 200
    assert result["resultType"] == "complete"


async def test_a_list_is_text(client):
    result = await client.answered(http(b"[1,2]"), "items_list", {"page": 1})
    assert "structuredContent" not in result
    assert result["content"][0]["text"] == "[1,2]"


async def test_an_answer_without_content_is_no_error_and_holds_what_was_promised(client):
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    result = await client.answered(answer, "items_remove")
    assert "nothing to say" in result["content"][0]["text"]
    assert "structuredContent" not in result
    assert (await client.answered(answer, "items_get"))["structuredContent"] == {}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("image/png", {"type": "image", "data": "AP8=", "mimeType": "image/png"}),
        ("audio/ogg", {"type": "audio", "data": "AP8=", "mimeType": "audio/ogg"}),
        (
            "application/pdf",
            {
                "type": "resource",
                "resource": {"uri": "api://todo/answer", "mimeType": "application/pdf", "blob": "AP8="},
            },
        ),
        ("text/csv; charset=x", {"type": "text", "text": "\0\N{REPLACEMENT CHARACTER}"}),
    ],
)
async def test_other_answers_are_what_they_are(client, kind, expected):
    result = await client.answered(http(b"\x00\xff", kind=kind), "pictures_get")
    assert result["content"] == [expected]


async def test_events_are_text_once_they_have_ended(client):
    result = await client.answered(STREAM + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + LAST, "pictures_get")
    assert result["content"][0]["text"] == "data: 1\n\ndata: 2\n\n"


async def test_where_there_is_more_it_is_said_with_which_arguments(client):
    link = '<https://evil.example/?page=3&per_page=9&tags=x>; rel="next", </?page=9>; rel="last"'
    answer = http(b"[]", extra=f"Link: {link}\r\nX-Total-Count: 41\r\n")
    result = await client.answered(answer, "items_list", {"page": 2})
    assert result["content"][1]["text"] == "There is more: call again with page=3, tags=x."
    assert result["_meta"]["dev.ostiary/next"] == {"page": "3", "tags": "x"}
    assert result["_meta"]["dev.ostiary/total"] == 41


@pytest.mark.parametrize(
    ("link", "page"),
    [
        ("</?page=2>; rel=next", "2"),
        ('</?page=2>; title="a, b"; rel="prev next"', "2"),
        ('</?page=1>; rel=prev, </?page=2>;REL="NEXT"', "2"),
        ('</?page=2>; rel="nextdoor"', None),
        ("<?>;" + "rel= " * 3000, None),
    ],
)
async def test_a_link_leads_to_the_next_page_if_that_is_its_relation(client, link, page):
    result = await client.answered(http(b"[]", extra=f"Link: {link}\r\n"), "items_list", {"page": 1})
    assert result["_meta"].get("dev.ostiary/next", {}).get("page") == page


async def test_a_refusal_says_what_to_correct_and_nothing_in_the_apis_own_words(client):
    said = {
        "message": "Validation failed for ann@example.com",
        "errors": [{"field": "title", "code": "missing_field"}, {"field": "password_of_root"}],
        "code": "hunter2",
    }
    answer = http(json.dumps(said).encode(), status="422 Unprocessable Entity", kind="application/problem+json")
    async with raw_server(saying(answer)) as server:
        result = await client.call(DOING, "items_add", {"body": {"titel": 1}}, at(server))
    text = result["content"][0]["text"]
    assert result["isError"] is True
    assert "HTTP 422" in text
    assert "names: title." in text
    assert "codes: missing_field." in text
    for theirs in ("ann@example.com", "hunter2", "password_of_root", "Validation"):
        assert theirs not in json.dumps(result)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("404 Not Found", "no such thing"),
        ("403 Forbidden", "may not do this"),
        ("409 Conflict", "state"),
        ("418 x", "will not help"),
        ("500 Broken", "The API failed (HTTP 500)"),
        ("302 Found", "not followed"),
    ],
)
async def test_every_no_says_what_to_do(client, status, words):
    result = await client.answered(http(b"secret", status=status, kind="text/plain", extra="Location: /x\r\n"))
    assert result["isError"] is True
    assert words in result["content"][0]["text"]
    assert "secret" not in json.dumps(result)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("401 Unauthorized", CredentialRefused),
        ("429 Slow", UpstreamBusy),
        ("503 Down", UpstreamBusy),
        ("502 Bad", UpstreamBroken),
    ],
)
async def test_what_is_no_answer_is_the_same_as_with_every_server(client, status, error):
    with pytest.raises(error):
        await client.answered(http(b"secret", status=status, extra="Retry-After: 3\r\n"))


async def test_an_answer_that_is_too_large_says_how_to_ask_for_less(make_servers, caller):
    client = Client(make_servers(size=1024), caller)
    result = await client.answered(http(b"[" + b"1," * 2000 + b"1]"), "items_list", {"page": 1})
    assert result["isError"] is True
    assert "larger than 1 KiB" in result["content"][0]["text"]
    assert "ask for less with page" in result["content"][0]["text"]


async def test_half_of_json_is_no_answer(client):
    for broken in (b'{"a":', b'{"a":"\xff"}', b"nope"):
        with pytest.raises(UpstreamBroken):
            await client.answered(http(broken))


async def test_a_probe_connects_and_says_nothing(servers):
    async with raw_server(saying(http(b"{}"))) as server:
        probed = await servers.probe(at(server), None)
        assert dict(probed.capabilities) == {"tools": {}}
        assert server.asked == []
        assert server.connections <= 1


async def test_calls_share_a_connection(client):
    async with raw_server(saying(http(b"{}"))) as server:
        for number in range(5):
            await client.call(DOING, "items_get", {"item": str(number)}, at(server))
        assert server.connections == 1
        assert len(server.asked) == 5
