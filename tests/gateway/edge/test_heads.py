"""A head that came before need not be read again, and nothing else about a request is any different for it."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.edge.heads import LONGEST, MOST, Head, Heads
from gateway.heads import Outline, apart
from tests.fakes.door import Door, Line, eventually, open_door
from tests.gateway.edge.test_requests import written


def kept(door: Door) -> dict[tuple[str, Outline], Head]:
    return door.edge.heads._kept._kept


def call(door: Door, ident: int, *, token: str = "", more: str = "") -> bytes:
    """A call whose head is the same each time."""
    return written(door, ident=ident, more=more, token=token or TOKENS.setdefault(door.port, door.token()))


TOKENS: dict[int, str] = {}


@pytest.fixture(autouse=True)
def no_tokens() -> None:
    TOKENS.clear()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What the parser was given."""
    from gateway.edge.connection import EdgeProtocol

    seen: list[bytes] = []
    plain = EdgeProtocol.on_headers_complete

    def noting(self: EdgeProtocol) -> None:
        seen.append(self.url)
        plain(self)

    monkeypatch.setattr(EdgeProtocol, "on_headers_complete", noting)
    return seen


async def test_a_head_is_parsed_once(tmp_path, parsed: list[bytes]) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for number in (1, 2, 3):
            got = await line.raw(call(door, number))
            assert got.json["id"] == number
        assert parsed == [b"/mcp"]


async def test_a_head_is_known_whatever_length_it_says(tmp_path, parsed: list[bytes]) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for number in (1, 22, 333, 4444):
            assert (await line.raw(call(door, number))).json["id"] == number
        assert parsed == [b"/mcp"]


async def test_a_known_head_with_a_length_beyond_the_limit_is_refused_like_any(tmp_path) -> None:
    async with open_door(tmp_path, request_limit=4096) as door, Line(door) as line:
        assert (await line.raw(call(door, 1))).status == 200
        data = call(door, 2)
        start = data.find(b"\r\n\r\n") + 4
        length = b"content-length: %d" % (len(data) - start)
        assert length in data.lower()
        longer = data[start:-1] + b" " * 5000 + b"}"
        head = data[:start].replace(b"%d" % (len(data) - start), b"%d" % len(longer))
        assert (await line.raw(head + longer)).status == 413


async def test_another_connection_of_the_same_client_profits_too(tmp_path, parsed: list[bytes]) -> None:
    async with open_door(tmp_path) as door:
        for number in (1, 2):
            async with Line(door) as line:
                assert (await line.raw(call(door, number))).status == 200
        assert len(parsed) == 1


async def test_a_known_head_whose_body_comes_in_two_pieces_is_parsed_like_any(tmp_path, parsed: list[bytes]) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await line.raw(call(door, 1))
        data = call(door, 2)
        line.writer.write(data[:-5])
        await eventually(lambda: len(parsed) == 2)
        assert (await line.raw(data[-5:])).json["id"] == 2
        assert len(parsed) == 2
        assert (await line.raw(call(door, 3))).json["id"] == 3
        assert len(parsed) == 2


async def test_two_known_requests_in_one_packet_are_two_requests(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await line.raw(call(door, 1))
        assert (await line.raw(call(door, 2) + call(door, 3))).json["id"] == 2
        assert (await line.answer()).json["id"] == 3


async def test_a_token_that_is_revoked_is_worth_nothing_under_a_known_head(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(call(door, 1))).status == 200
        door.snapshots.turn(members={})
        assert (await line.raw(call(door, 2))).status == 401
        assert (await line.raw(call(door, 3))).status == 401
        assert len(door.upstreams.asks) == 1


async def test_a_token_that_ends_is_worth_nothing_under_a_known_head(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(call(door, 1))).status == 200
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 400)
        assert (await line.raw(call(door, 2))).status == 401


async def test_what_was_found_under_an_older_snapshot_is_let_go(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        await line.raw(call(door, 1))
        await line.raw(call(door, 1, more="X-Other: 1"))
        assert len(kept(door)) == 2
        door.snapshots.turn()
        assert (await line.raw(call(door, 2))).status == 200
        assert {head.found.snapshot.epoch for head in kept(door).values()} == {2}


async def test_the_head_of_nobody_is_not_kept(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(call(door, 1, token="a.b.c"))).status == 401
        assert not kept(door)


async def test_a_head_that_is_long_is_not_kept(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(call(door, 1, more=f"X-Long: {'x' * LONGEST}"))).status == 200
        assert not kept(door)


async def test_heads_without_a_length_are_read_each_time(tmp_path, parsed: list[bytes]) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        for _ in range(2):
            assert (await line.raw(written(door, chunks=True))).status == 200
        assert len(parsed) == 2
        assert not kept(door)


def test_only_so_many_are_kept_and_the_oldest_goes() -> None:
    heads = Heads()
    for number in range(MOST + 5):
        heads.keep("peer", head(b"POST /mcp HTTP/1.1\r\nX: %d\r\n\r\n" % number, 1), "now")
    assert len(heads) == MOST
    assert heads.find("peer", b"POST /mcp HTTP/1.1\r\nX: 0\r\nContent-Length: 0\r\n\r\n") is None
    assert heads.find("peer", b"POST /mcp HTTP/1.1\r\nX: 1028\r\nContent-Length: 2\r\n\r\n{}") is not None
    assert heads.find("other", b"POST /mcp HTTP/1.1\r\nX: 1028\r\nContent-Length: 0\r\n\r\n") is None


def test_what_was_found_out_about_a_head_goes_with_it_although_a_connection_remembers_it() -> None:
    heads = Heads()
    first, *others = [head(b"POST /mcp HTTP/1.1\r\nX: %d\r\n\r\n" % number, 1) for number in range(MOST + 2)]
    for one in (first, *others):
        one.found = "the snapshot, and all that hangs on it"
        heads.keep("peer", one, "now")
    assert first.found is None
    heads.keep("peer", head(b"POST /mcp HTTP/1.1\r\nY: 0\r\n\r\n", 1), "later")
    assert [one.found for one in others] == [None] * (MOST + 1)


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /mcp HTTP/1.1\r\nHost: x\n\nbody\r\n\r\n",  # another reader may end it at the bare line ends
        b"POST /mcp HTTP/1.1\r\nHost: x\n\n\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nHost: x\ry\r\n\r\n",
    ],
)
def test_t_57_a_head_whose_end_is_a_matter_of_opinion_is_not_kept(raw: bytes) -> None:
    heads = Heads()
    heads.keep("peer", head(raw, 1), "now")
    assert not len(heads)


async def test_t_57_a_head_with_bare_line_ends_is_refused_before_it_could_be_known(tmp_path) -> None:
    async with open_door(tmp_path) as door, Line(door) as line:
        assert (await line.raw(call(door, 1).replace(b"\r\nHost", b"\nHost", 1))).status == 400
        assert not kept(door)


LINES = st.sampled_from(
    [b"X: 1", b"content-length: 7", b"Content-Length: 7", b"X-Content-Length: 7", b"content-length: 07", b"length: 7"]
)


@given(before=st.lists(LINES, max_size=4), body=st.just(b"seven b") | st.binary(max_size=12))
def test_what_is_taken_from_a_head_is_its_length_and_nothing_else(before: list[bytes], body: bytes) -> None:
    head = b"\r\n".join([b"POST /mcp HTTP/1.1", *before]) + b"\r\n\r\n"
    outline = apart(head + body)
    lengths = [line for line in before if line in (b"content-length: 7", b"Content-Length: 7")]
    assert (outline is not None) == (bool(lengths) and len(body) == 7)
    if outline is not None:
        assert outline.start(head + body) == len(head)
        at = head.find(b"\r\ncontent-length: 7\r")
        at = (at if at >= 0 else head.find(b"\r\nContent-Length: 7\r")) + 18
        assert outline == Outline(head[:at], head[at + 1 :])


@given(data=st.binary(max_size=80) | st.lists(LINES, max_size=4).map(b"\r\n".join), size=st.integers(0, 9))
def test_another_message_has_an_outline_only_if_no_more_than_its_length_is_another(data: bytes, size: int) -> None:
    outline = Outline(b"POST /mcp HTTP/1.1\r\nContent-Length: ", b"\r\nX: y\r\n\r\n")
    whole = b"%b%d%b" % (outline.front, size, outline.back)
    assert outline.start(whole + b"b" * size) == len(whole)
    assert outline.start(whole + b"b" * (size + 1)) == 0
    assert outline.start(data) == 0
    assert outline.start(outline.front + data) == 0
    assert outline.start(outline.front + data + outline.back) == (len(data) + len(outline.front + outline.back)) * (
        data == b"0"
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(cuts=st.lists(st.integers(1, 400), max_size=12), count=st.integers(2, 5))
async def test_however_the_bytes_are_cut_each_request_has_its_own_answer(tmp_path_factory, cuts, count) -> None:
    TOKENS.clear()
    async with open_door(tmp_path_factory.mktemp("door")) as door, Line(door) as line:
        data = b"".join(call(door, number) for number in range(count))
        for cut in cuts:
            line.writer.write(data[:cut])
            data = data[cut:]
            await line.writer.drain()
        line.writer.write(data)
        assert [(await line.answer()).json["id"] for _ in range(count)] == list(range(count))


def head(raw: bytes, lines: int) -> Head:
    """`raw` without the line that says its length, which is counted."""
    start = raw.find(b"\r\n\r\n")
    return Head(
        Outline(raw[:start] + b"\r\nContent-Length: ", raw[start:]),
        b"/mcp",
        b"",
        {},
        [(b"x", b"y")] * (lines + 1),
        True,
    )
