"""What is taken for a plain answer is one, and says what the strict reading of it says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.egress.frames import Frames
from gateway.upstream import Ask, UpstreamBroken
from gateway.upstream.legacy.convert import modern_answer
from gateway.upstream.messages import is_answer_to, parse
from gateway.upstream.modern import said
from gateway.upstream.plain import from_legacy_to_legacy, message_in, of_legacy, of_modern

PIECES = [
    b'"jsonrpc":"2.0"', b'"id":7', b'"id":8', b'"result":{"resultType":"complete","content":[]}',
    b'"result":{"content":[]}', b'"result":{}', b'"result": {"a":1} ', b'"result":[]', b'"result":{"isError":true}',
    b'"result":{"resultType":"task"}', b'"error":{"code":1,"message":"x"}', b'"method":"m"', b'"x":1',
    b'"result":{"content":[]},"id":7', b'"result":{"resultType":"complete"},"result":{"content":[]}',
]  # fmt: skip
ASK = Ask(method="tools/call", principal=None)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=5), st.sampled_from([b"", b"\n", b"}", b"x", b"]"]))
def test_a_plain_answer_is_an_answer_and_no_other_one(pieces: list[bytes], tail: bytes) -> None:
    body = b"{%b}%b" % (b",".join(pieces), tail)
    for quick, strict in ((of_modern, said), (of_legacy, lambda message: modern_answer(message, ASK))):
        result = quick(body, 7)
        if result:
            message = parse(body)
            assert is_answer_to(message, 7)
            assert json.loads(strict(message).result) == json.loads(result)
            assert json.loads(result)["resultType"] == "complete"


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}',
        b'{"result":{"resultType":"complete","content":[]},"jsonrpc":"2.0","id":7}',
        b'{"result":{"resultType":"complete","content":[]},"id":7,"jsonrpc":"2.0"}',
        b'{"jsonrpc": "2.0", "id": 7, "result": {"resultType": "complete", "content": []}}\n',
    ],
)
def test_in_whatever_order_common_servers_say_it(body: bytes) -> None:
    assert json.loads(of_modern(body, 7)) == {"resultType": "complete", "content": []}
    old = body.replace(b'"resultType":"complete",', b"").replace(b'"resultType": "complete", ', b"")
    assert json.loads(from_legacy_to_legacy(old, 7)) == {"content": []}


def stream(came: bytes, *, over: bool = False, pieces: int = 1) -> Any:
    return SimpleNamespace(body=lambda: came, over=over, pieces=pieces)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    "lines",
    [
        [b'data: {"a":1}'],
        [b"event: message", b'data: {"a":1}'],
        [b"id: 4", b"event: message", b'data: {"a":1}'],
        [b"id: 0", b"retry: 1000", b"data: ", b"", b"event: message", b'data: {"a":1}'],
    ],
)
def test_an_event_stream_of_one_message_is_that_message_once_it_is_whole(lines: list[bytes], end: bytes) -> None:
    whole = end.join([*lines, b"", b""])
    assert message_in(stream(whole)) == b'{"a":1}'
    for cut in range(len(whole)):
        assert message_in(stream(whole[:cut])) is None
    assert message_in(stream(whole[:-1], over=True)) == b""


LINES = st.sampled_from(
    [b"data: {}", b'data: {"a":1}', b"data: ", b"data:{}", b"event: message", b"event: other", b"id: 1", b"", b": x",
     b"retry: 5", b"data", b"x"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=8))
def test_what_is_taken_for_the_one_message_is_what_every_reader_finds(lines: list[tuple[bytes, bytes]]) -> None:
    came = b"".join(line + end for line, end in lines)
    message = message_in(stream(came))
    if message:
        assert [frame.data for frame in Frames(1024).feed(came) if frame.data] == [message]


def test_what_comes_in_many_pieces_or_is_long_is_read_as_a_stream() -> None:
    assert message_in(stream(b"data: {", pieces=100)) == b""
    assert message_in(stream(b"data: " + b" " * 100_000)) == b""


def test_a_batch_and_nothing_are_no_plain_answers() -> None:
    for body in (b"", b"[]", b"{", b'[{"jsonrpc":"2.0","id":7,"result":{}}]', b'{"jsonrpc":"2.0","id":7,"result":'):
        for quick in (of_modern, of_legacy, from_legacy_to_legacy):
            assert quick(body, 7) == b""
    with pytest.raises(UpstreamBroken):
        parse(b"{")
