"""How the data plane gets its requests, and how its answers go out, however the bytes are cut."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.upstream import Answer
from tests.fakes.deadlines import within
from tests.fakes.door import Door, Line, eventually, modern, open_door

RESULT = Answer(result=b'{"resultType":"complete","content":[]}')


def written(door: Door, *, ident: int = 1, more: str = "", token: str = "", chunks: bool = False) -> bytes:
    """A call as it goes over the wire."""
    headers, body = modern(token or door.token(), "tools/call", {"name": "notes_add", "arguments": {}}, ident=ident)
    framing = "Transfer-Encoding: chunked" if chunks else f"Content-Length: {len(body)}"
    lines = [
        "POST /mcp HTTP/1.1",
        f"Host: 127.0.0.1:{door.port}",
        framing,
        *(f"{name}: {value}" for name, value in headers),
    ]
    head = "\r\n".join([*lines, more] if more else lines).encode() + b"\r\n\r\n"
    if not chunks:
        return head + body
    half = len(body) // 2
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\n\r\n"


async def test_a_call_is_the_same_however_its_bytes_are_cut(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for data in (written(door), written(door, chunks=True)):
            for cut in (1, len(data) // 3, data.index(b"\r\n\r\n") + 4, len(data) - 1):
                line.writer.write(data[:cut])
                await line.writer.drain()
                await asyncio.sleep(0.02)
                got = await line.raw(data[cut:])
                assert got.json["result"]["content"]


async def test_a_client_that_waits_for_a_word_before_its_body_gets_it(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        head, _, body = written(door, more="Expect: 100-continue").partition(b"\r\n\r\n")
        line.writer.write(head + b"\r\n\r\n")
        assert (await line.head()).status == 100
        assert (await line.raw(body)).status == 200


async def test_whoever_is_nobody_is_told_so_before_the_body_is_sent(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        head, _, body = written(door, token="no-token", more="Expect: 100-continue").partition(b"\r\n\r\n")
        assert (await line.raw(head + b"\r\n\r\n")).status == 401
        line.writer.write(body)  # it had sent it all the same; the connection is in order
        assert (await line.raw(written(door))).status == 200


async def test_a_body_without_a_length_is_held_to_the_limit(tmp_path) -> None:
    async with open_door(tmp_path, request_limit=2048) as door, Line(door) as line:
        head = written(door, chunks=True).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        piece = b"400\r\n" + b" " * 1024 + b"\r\n"
        got = await line.raw(head + 3 * piece)
        assert got.status == 413
        assert got.headers["connection"] == "close"
        assert not door.upstreams.asks


async def test_calls_that_come_together_are_answered_one_after_the_other(tmp_path) -> None:
    under_way = 0

    async def slow(*_: object) -> Answer:
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await asyncio.sleep(0.02)
        under_way -= 1
        return RESULT

    async with open_door(tmp_path) as door, Line(door) as line:
        door.upstreams.script = slow
        data = b"".join(written(door, ident=number) for number in range(4))
        line.writer.write(data[:-20])
        await line.writer.drain()
        await asyncio.sleep(0.05)
        line.writer.write(data[-20:])
        assert [(await line.answer()).json["id"] for _ in range(4)] == list(range(4))


async def test_an_answer_to_head_has_no_body(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        authorization = [("Authorization", f"Bearer {door.token()}")]
        assert (await line.ask("HEAD", "/mcp", authorization)).status == 405
        assert (await line.raw(written(door))).status == 200


async def test_a_connection_of_http_1_0_ends_with_its_answer(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        got = await line.raw(written(door).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert got.status == 200
        assert got.headers["connection"] == "close"
        assert await within(line.reader.read(), 20) == b""


async def test_hundreds_of_requests_in_line_behind_a_slow_one_are_answered_in_their_order(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        may_answer = asyncio.Event()

        async def slowly(*_: object) -> Answer:
            await may_answer.wait()
            return Answer(result=b'{"resultType":"complete","content":[]}')

        door.upstreams.script = slowly
        token = door.token()
        line.writer.write(written(door, ident=0, token=token))
        await eventually(lambda: len(door.upstreams.asks) == 1)
        line.writer.write(b"".join(written(door, ident=number, token=token) for number in range(1, 400)))
        await asyncio.sleep(0.05)
        may_answer.set()
        assert [(await line.answer()).json["id"] for _ in range(400)] == list(range(400))


async def test_p_10_whoever_reads_no_answers_is_asked_for_nothing_more(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:

        async def says_much(*_: object) -> Answer:
            return Answer(
                result=b'{"resultType":"complete","content":[{"type":"text","text":"%b"}]}' % (b"x" * 1_000_000)
            )

        door.upstreams.script = says_much
        token = door.token()
        line.reader._transport.pause_reading()
        line.writer.write(b"".join(written(door, ident=number, token=token) for number in range(100)))
        begun = -1
        while begun < 1 or begun != len(door.upstreams.asks):  # until nothing moves any more
            begun = len(door.upstreams.asks)
            await asyncio.sleep(0.3)
        assert 0 < begun < 30
        line.reader._transport.resume_reading()
        assert [(await line.answer()).json["id"] for _ in range(100)] == list(range(100))


async def test_t_57_rubbish_behind_a_request_does_not_get_into_its_answer(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        door.upstreams.script = streaming_for_ever
        line.writer.write(written(door, ident=0))
        await eventually(lambda: len(door.upstreams.asks) == 1)
        line.writer.write(written(door, ident=1) + b"rubbish\r\n\r\n")
        assert await within(line.reader.read(), 10) == b""
        await eventually(lambda: len(door.world.underway) == 0)


async def streaming_for_ever(*_: object) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_client_whose_stream_was_held_up_once_is_still_heard_hanging_up(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:

        async def says_much_first(_: object, __: object, down: Any) -> Answer:
            await down.notify("notifications/progress", b'{"progress":1,"message":"%b"}' % (b"x" * 8_000_000))
            await asyncio.Event().wait()
            return RESULT

        door.upstreams.script = says_much_first
        params = {"name": "notes_add", "arguments": {}, "_meta": {"progressToken": 1}}
        line.reader._transport.pause_reading()
        await line.send("POST", "/mcp", *modern(door.token(), "tools/call", params))
        await eventually(lambda: any(one.flow.write_paused for one in door.connections))
        line.reader._transport.resume_reading()
        await line.head()
        assert (await line.event())["method"] == "notifications/progress"
        await eventually(lambda: not any(one.flow.write_paused for one in door.connections))
        assert not any(one.flow.read_paused for one in door.connections)
