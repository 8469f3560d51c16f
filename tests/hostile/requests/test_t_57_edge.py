"""T-57, T-58, T-59 and the limits of a connection: what never reaches an application."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.deadlines import within
from tests.fakes.door import Line, modern, open_door


def raw(
    door,
    *,
    target: str = "/mcp",
    host: str | None = "",
    lines: tuple[str, ...] = (),
    body: bytes = b"{}",
    length: bool = True,
) -> bytes:
    head = [f"POST {target} HTTP/1.1"]
    if host is not None:
        head.append(f"Host: {host or f'127.0.0.1:{door.settings.port}'}")
    if length:
        head.append(f"Content-Length: {len(body)}")
    head += [f"Authorization: Bearer {door.token()}", "Content-Type: application/json", *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


async def status(door, data: bytes) -> int:
    async with Line(door) as line:
        return (await line.raw(data)).status


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1", "OURS.evil.example", "OURS/", "http://localhost:1"]
)
async def test_t_57_a_foreign_web_origin_is_refused(tmp_path, origin: str) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, lines=(f"Origin: {origin.replace('OURS', door.base)}",))) == 403


async def test_t_57_a_listed_origin_is_let_in_and_may_read_the_answer(tmp_path) -> None:
    async with open_door(tmp_path, allowed_origins=("https://app.example",)) as door, Line(door) as line:
        origin = [("Origin", "https://app.example")]
        asked = [
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "authorization, mcp-param-region"),
        ]
        got = await line.ask("OPTIONS", "/mcp", origin + asked)
        assert got.status == 204
        assert got.headers["access-control-allow-headers"] == "authorization, mcp-param-region"
        headers, body = modern(door.token(), "tools/list")
        got = await line.ask("POST", "/mcp", headers + origin, body)
        assert got.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "a/#@x", "a?x=", "127.0.0.1:1", "127.0.0.1:PORT.evil.example"]
)
async def test_t_57_t_58_another_host_is_not_here(tmp_path, host: str) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, host=host.replace("PORT", str(door.settings.port)))) == 421


async def test_who_types_localhost_is_told_the_right_url(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        got = await line.raw(raw(door, host=f"localhost:{door.settings.port}"))
        assert got.status == 421
        assert f"{door.base}/mcp" in got.body.decode()


async def test_t_57_a_missing_or_doubled_host_is_a_bad_request(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, host=None)) == 400
        assert await status(door, raw(door, lines=(f"Host: 127.0.0.1:{door.settings.port}",))) == 400


async def test_t_57_only_json_is_taken(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""):
            got = await line.ask(
                "POST", "/mcp", [("Authorization", f"Bearer {door.token()}"), ("Content-Type", kind)], b"{}"
            )
            assert got.status == 415
        headers, body = modern(door.token(), "tools/list")
        headers = [("Accept", "text/html") if name == "Accept" else (name, value) for name, value in headers]
        assert (await line.ask("POST", "/mcp", headers, body)).status == 406


@pytest.mark.parametrize(
    "target",
    [
        "/mcp%2f..%2fadmin",
        "//mcp",
        "/mcp;x",
        "/MCP",
        "/mcp/",
        "/mcp/../mcp",
        "/./mcp",
        "/%6dcp",
        "/mcp%00",
        "/servers/notes/../notes/mcp",
    ],
)
async def test_t_58_a_path_is_what_it_is_or_nothing(tmp_path, target: str) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, target=target)) == 404


@pytest.mark.parametrize("target", ["http://evil/mcp", "*", "evil:80", "/mcp#x"])
async def test_t_58_only_the_origin_form_is_a_target(tmp_path, target: str) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, target=target)) == 400


SMUGGLES = {
    "length and chunks": (("Transfer-Encoding: chunked",), True, b"0\r\n\r\n"),
    "an odd spelling": (("Transfer-Encoding: xchunked",), False, b"0\r\n\r\n"),
    "a list of codings": (("Transfer-Encoding: identity, chunked",), False, b"0\r\n\r\n"),
    "chunked twice": (("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), False, b"0\r\n\r\n"),
    "a vertical tab": (("Transfer-Encoding: \x0bchunked",), False, b"0\r\n\r\n"),
    "two lengths": (("Content-Length: 2",), True, b"{}"),
    "a list of lengths": (("Content-Length: 2, 2",), False, b"{}"),
    "a negative length": (("Content-Length: -2",), False, b"{}"),
    "a signed length": (("Content-Length: +2",), False, b"{}"),
    "a bare line feed": (("X: a\nY: b",), True, b"{}"),
    "a space before the colon": (("X : a",), True, b"{}"),
    "a folded line": (("X: a\r\n b",), True, b"{}"),
    "an upgrade": (("Connection: Upgrade", "Upgrade: websocket"), True, b"{}"),
    "a chunk extension of a mebibyte": (
        ("Transfer-Encoding: chunked",),
        False,
        b"2;" + b"x" * 1024 * 1024 + b"\r\n{}\r\n0\r\n\r\n",
    ),
    "a bare line feed in chunks": (("Transfer-Encoding: chunked",), False, b"2\n{}\n0\n\n"),
}


@pytest.mark.parametrize(("lines", "length", "body"), [pytest.param(*case, id=name) for name, case in SMUGGLES.items()])
async def test_t_59_what_two_parsers_could_frame_differently_ends_the_connection(
    tmp_path, lines, length: bool, body: bytes
) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        line.writer.write(raw(door, lines=lines, body=body, length=length))
        assert (await line.head()).status == 400
        rest = await within(line.reader.read(), 10)
        assert b"content-length" not in rest, "a second answer"
        assert door.upstreams.asks == []


async def test_t_59_a_trailer_is_no_header(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        body = b"2\r\n{}\r\n0\r\nOrigin: https://evil.example\r\n\r\n"
        got = await line.raw(raw(door, lines=("Transfer-Encoding: chunked",), body=body, length=False))
        assert got.json["error"]["code"] == -32600


async def test_too_many_headers_and_too_large_ones_are_refused(tmp_path) -> None:
    async with open_door(tmp_path) as door:
        assert await status(door, raw(door, lines=tuple(f"X-{number}: 1" for number in range(100)))) == 431
        assert await status(door, raw(door, lines=("X: " + "a" * 66_000,))) == 431
        assert await status(door, raw(door, target="/" + "a" * 66_000)) == 431
        assert await status(door, raw(door, lines=tuple(f"X-{number}: 1" for number in range(80)))) == 400


async def test_t_70_a_head_that_does_not_end_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.edge.connection.HEAD_DEADLINE", 0.2)
    async with open_door(tmp_path) as door, Line(door) as drips, Line(door) as silent:
        drips.writer.write(b"POST /mcp HTTP/1.1\r\nHo")
        assert (await drips.answer()).status == 408
        assert await within(silent.reader.read(), 10) == b""


async def test_t_71_a_body_that_does_not_end_is_given_up(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("gateway.edge.connection.BODY_DEADLINE", 0.2)
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(raw(door, body=b"{}")[:-1])).status == 408


async def test_t_71_a_client_that_does_not_read_is_dropped(tmp_path, monkeypatch) -> None:
    from gateway.upstream import Answer
    from tests.fakes.door import eventually

    monkeypatch.setattr("gateway.edge.patience.WRITE_DEADLINE", 0.2)

    async def large(*_: object) -> Answer:
        return Answer(result=b'{"resultType":"complete","x":"' + b"x" * 30_000_000 + b'"}')

    async with open_door(tmp_path) as door:
        door.upstreams.script = large
        reader, writer = await asyncio.open_connection("127.0.0.1", door.settings.port, limit=1024)
        writer.transport.pause_reading()
        headers, body = modern(door.token(), "tools/call", {"name": "notes_add"})
        lines = [f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{door.settings.port}\r\nContent-Length: {len(body)}"]
        writer.write("\r\n".join(lines + [f"{name}: {value}" for name, value in headers]).encode() + b"\r\n\r\n" + body)
        await eventually(lambda: door.upstreams.asks)
        await asyncio.sleep(2.0)  # the answer is made and the deadline has passed, on a slow machine too
        writer.transport.resume_reading()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await within(reader.readexactly(30_000_000), 60)
        writer.close()


async def test_requests_on_one_connection_are_answered_in_their_order(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for number in range(5):
            await line.send("POST", "/mcp", *modern(door.token(), "tools/list", ident=number))
        assert [(await line.answer()).json["id"] for _ in range(5)] == list(range(5))


async def test_only_the_word_of_our_own_proxy_counts(tmp_path) -> None:
    from gateway.edge import Edge
    from gateway.settings import Settings

    said = {b"x-forwarded-for": b"6.6.6.6, 9.9.9.9, 10.0.0.2"}
    assert Edge(None, Settings(data=tmp_path))._source("127.0.0.1", said) == "127.0.0.1"
    assert Edge(None, Settings(data=tmp_path))._source("8.8.8.8", said) == "8.8.8.8"
    proxied = Settings(data=tmp_path, trusted_proxies=("127.0.0.0/8", "10.0.0.0/8"))
    assert Edge(None, proxied)._source("127.0.0.1", said) == "9.9.9.9"
    assert Edge(None, proxied)._source("8.8.8.8", said) == "8.8.8.8"


async def test_a_fault_of_ours_is_not_called_a_bad_request(tmp_path, monkeypatch, caplog) -> None:
    from gateway.edge import Edge

    def broken(*_: object) -> None:
        raise LookupError("a secret")

    async with open_door(tmp_path) as door:
        monkeypatch.setattr(Edge, "enter", broken)
        assert await status(door, raw(door)) == 500
    assert "LookupError" in caplog.text
    assert "a secret" not in caplog.text
