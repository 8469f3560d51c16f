"""T-50 and T-51: bodies that two readers could read differently, or that cost more than they should."""

from __future__ import annotations

import gzip
import json
import resource

import pytest

from tests.fakes.door import Line, ask, modern, open_door

GOOD = modern("x", "tools/call", {"name": "notes_add", "arguments": {"text": "hi"}})[1].decode()


def with_arguments(raw: str) -> bytes:
    assert '{"text": "hi"}' in GOOD
    return GOOD.replace('{"text": "hi"}', raw).encode()


def with_id(raw: str) -> bytes:
    return GOOD.replace('"id": 1', f'"id": {raw}').encode()


NOT_JSON = {
    "the same key twice at the top": GOOD.replace('"method"', '"method": "tools/list", "method"').encode(),
    "the same key twice in params": GOOD.replace('"name"', '"name": "notes_delete", "name"').encode(),
    "the same key twice in arguments": with_arguments('{"a": {"b": 1, "b": 2}}'),
    "the same key twice, once escaped": with_arguments('{"a": 1, "\\u0061": 2}'),
    "the same key twice, balanced by an escaped colon": with_arguments('{"a": 1, "a": 2, "c": "\\u003a"}'),
    "NaN": with_arguments('{"a": NaN}'),
    "Infinity": with_arguments('{"a": -Infinity}'),
    "1e400": with_arguments('{"a": 1e400}'),
    "5,000 digits": with_arguments('{"a": %s}' % ("9" * 5000)),
    "a lone surrogate": with_arguments('{"a": "\\ud800"}'),
    "a lone low surrogate": with_arguments('{"a": "\\udc00 is alone"}'),
    "bytes that are no UTF-8": with_arguments('{"a": "?"}').replace(b"?", b"\xff"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "trailing bytes": GOOD.encode() + b" {}",
    "nothing": b"",
}
NOT_A_REQUEST = {
    "id null": with_id("null"),
    "id float": with_id("1.0"),
    "id bool": with_id("true"),
    "id of a mebibyte": with_id(f'"{"x" * 1024 * 1024}"'),
    "a batch": f"[{GOOD}]".encode(),
    "a string": b'"hello"',
    "JSON-RPC 1.0": GOOD.replace('"2.0"', '"1.0"').encode(),
    "request and response in one": GOOD.replace('"method"', '"result": {}, "method"').encode(),
    "params a list": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}',
    "a method that is no name": GOOD.replace('"method": "tools/call"', '"method": 7').encode(),
    "nested two thousand deep": b"[" * 2000,
    "nested 33 deep": with_arguments("[" * 32 + "]" * 32),
    "10,001 values": with_arguments(f'{{"a": [{",".join(["0"] * 10_001)}]}}'),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON.items()])
async def test_t_50_what_two_readers_could_read_differently_is_refused(tmp_path, body: bytes) -> None:
    await _refused(tmp_path, body, -32700)


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_A_REQUEST.items()])
async def test_t_50_what_is_no_single_request_is_refused(tmp_path, body: bytes) -> None:
    await _refused(tmp_path, body, -32600)


async def _refused(tmp_path, body: bytes, code: int) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, _ = modern(door.token(), "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", "/mcp", headers, body)
        assert got.status == 400
        assert got.json["error"]["code"] == code
        assert door.upstreams.asks == []
        assert door.records("request.refused")


async def test_t_51_a_body_over_the_limit_is_refused_with_its_length_or_without(tmp_path) -> None:
    async with open_door(tmp_path, request_limit=1024 * 1024) as door:
        headers, _ = modern(door.token(), "tools/call", {"name": "notes_add"})
        async with Line(door) as line:
            got = await line.ask("POST", "/mcp", headers, b"x" * (1024 * 1024 + 1))
            assert got.status == 413
        async with Line(door) as line:
            text = "".join(f"{name}: {value}\r\n" for name, value in headers)
            host = f"Host: 127.0.0.1:{door.settings.port}\r\n"
            line.writer.write(f"POST /mcp HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n{text}\r\n".encode())
            for _ in range(17):
                line.writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            assert (await line.answer()).status == 413
        assert door.upstreams.asks == []


async def test_t_51_a_compressed_body_is_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, body = modern(door.token(), "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", "/mcp", [*headers, ("Content-Encoding", "gzip")], gzip.compress(body))
        assert got.status == 415


async def test_t_51_dense_bodies_do_not_multiply_in_memory(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, _ = modern(door.token(), "tools/call", {"name": "notes_add"})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for dense in (b"{},", b"[],", b"1.5,", b'"":0,'):
            body = b"[" + dense * (3_900_000 // len(dense)) + b"0]"
            assert (await line.ask("POST", "/mcp", headers, body)).status == 400
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 10 * 4 * 1024  # KiB


async def test_values_pass_to_the_server_as_the_bytes_they_were(tmp_path) -> None:
    raw = '{"n": 1.0, "big": 12345678901234567890123, "s": "\\u00e9 \\/", "e": 1E2, "x": [ 1 , 2 ]}'
    async with open_door(tmp_path) as door, Line(door) as line:
        headers, _ = modern(door.token(), "tools/call", {"name": "notes_add"})
        got = await line.ask("POST", "/mcp", headers, with_arguments(raw))
        assert got.status == 200
        assert door.upstreams.asks[0].params["arguments"] == raw.encode()


async def test_t_94_hostile_text_lands_in_one_escaped_line_of_the_record(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        for name in ("x\r\ny", "\x1b[2J", "a" * 100_000, "\u2028"):
            got = await ask(door, "prompts/get", {"name": "notes_ask", "arguments": {name: name}})
            assert got.status == 200
            async with Line(door) as line:
                headers, body = modern(door.token(), "tools/call", {"name": name})
                headers = [each for each in headers if each[0] != "Mcp-Name"]
                from gateway.portal.headers import encode

                if len(name) < 1000:
                    await line.ask("POST", "/mcp", [*headers, ("Mcp-Name", encode(name).decode())], body)
        files = [file for file in (tmp_path / "journal").glob("*") if file.is_file()]
        for file in files:
            for text in file.read_bytes().split(b"\n"):
                assert b"\x1b" not in text
                assert b"\r" not in text
                if text:
                    json.loads(text)
