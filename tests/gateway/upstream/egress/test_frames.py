from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress.frames import NOISE_MOST, Frames, FrameTooLarge, StreamOfNothing

ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
LINES = st.sampled_from(
    [b"data: a", b"data:b", b"data", b"data:  c", b"id: 7", b"event: message", b": ping", b"", b"", b"x"]
)


def frames(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    reader = Frames(1000)
    return [(frame.data, frame.id) for piece in pieces for frame in reader.feed(piece)]


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[start:end] for start, end in pairwise(bounds)]


@given(st.lists(st.tuples(LINES, ENDS)), st.lists(st.integers(0, 10_000)))
def test_where_a_stream_is_cut_does_not_matter(lines: list[tuple[bytes, bytes]], places: list[int]):
    stream = b"".join(line + end for line, end in lines)
    assert frames(cut(stream, places)) == frames([stream])


@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=3), max_size=5), ENDS)
def test_every_event_comes_out_as_it_went_in(events: list[list[bytes]], end: bytes):
    clean = [[line.translate(None, b"\r\n") for line in event] for event in events]
    stream = b"".join(b"".join(b"data: " + line + end for line in event) + end for event in clean)
    assert [data for data, _ in frames([stream])] == [b"\n".join(event) for event in clean]


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_first_line():
    assert frames([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [(b"a", b"")]


def test_an_event_that_never_ends_is_cut_at_the_limit():
    reader = Frames(1000)
    for _ in range(1000):
        reader.feed(b"x")
    with pytest.raises(FrameTooLarge):
        reader.feed(b"x")


def test_an_event_of_many_lines_is_cut_at_the_limit():
    reader = Frames(1000)
    for _ in range(500):
        reader.feed(b"data: x\n")
    with pytest.raises(FrameTooLarge):
        reader.feed(b"data: x\n")


def test_comments_are_not_kept():
    reader = Frames(1000)
    for _ in range(5000):
        assert reader.feed(b": ping\n\n") == []


@pytest.mark.parametrize(
    "line", [b": x\n", b"\n", b"data:\n\n", b"event: ping\n\n", b"id: 1\n", b"nothing: known\n", b":" * 50_000 + b"\n"]
)
def test_what_says_nothing_is_borne_so_long(line: bytes):
    reader, fed = Frames(100_000, lambda: 0.0), 0
    while fed <= 3 * NOISE_MOST:
        fed += len(line)
        try:
            reader.feed(line)
        except StreamOfNothing:
            return
    pytest.fail("it was borne")


def test_a_comment_each_second_keeps_a_way_open_for_ever():
    now = 0.0
    reader = Frames(1000, lambda: now)
    for _ in range(20_000):
        now += 1.0
        assert reader.feed(b": ping - 2026-11-22 08:15:00\r\n\r\n") == []


def test_what_an_event_has_besides_its_data_is_no_noise():
    reader = Frames(1000, lambda: 0.0)
    for number in range(10_000):
        assert len(reader.feed(b"event: message\r\nid: %d\r\ndata: {}\r\n\r\n" % number)) == 1


def test_what_a_reader_resumes_from_is_known_without_an_event():
    reader = Frames(1000)
    reader.feed(b"id: 4\nretry: 250\n\n")
    assert (reader.last_id, reader.retry) == (b"4", 0.25)


def test_an_event_says_of_what_kind_it_is_and_the_next_one_does_not():
    frames = Frames(100)
    found = frames.feed(b"event: endpoint\ndata: /m\n\nevent: lost\n\ndata: x\n\n")
    assert [(frame.kind, frame.data) for frame in found] == [(b"endpoint", b"/m"), (b"", b"x")]
