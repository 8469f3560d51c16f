"""What a process writes to stderr, as our log has it."""

import itertools
import logging
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.channels.chatter import LINE_MOST, LINES_FREE, REDACTED, Chatter, log


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def lines(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_each_line_is_a_record_and_empty_ones_are_none(caplog, clock):
    chatter = Chatter("git", (), clock)
    chatter.feed(b"one\n\n  \ntwo\nthr")
    chatter.feed(b"ee\n")
    assert lines(caplog) == ["git says: one", "git says: two", "git says: three"]


def test_the_rest_is_said_at_the_end(caplog, clock):
    chatter = Chatter("git", (), clock)
    chatter.feed(b"no line break")
    assert not lines(caplog)
    chatter.end()
    assert lines(caplog) == ["git says: no line break"]


@given(before=st.text(max_size=20), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_a_secret_is_never_there_however_it_is_cut(before, cuts):
    whole = f"{before} s3cret-word\n".encode()
    with said() as lines:
        chatter = Chatter("git", ("s3cret-word", "word"), lambda: 0.0)
        for start, stop in itertools.pairwise([0, *sorted(cuts), len(whole)]):
            chatter.feed(whole[start:stop])
    assert REDACTED in "".join(lines)
    assert "s3cret" not in "".join(lines)


@contextmanager
def said():
    """What is logged meanwhile; hypothesis runs a test many times with one `caplog`."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    log.addHandler(handler)
    try:
        yield found
    finally:
        log.removeHandler(handler)


def test_a_longer_secret_goes_before_one_that_is_a_part_of_it(caplog, clock):
    Chatter("git", ("pass", "passw0rd"), clock).feed(b"with passw0rd and pass\n")
    assert lines(caplog) == ["git says: with [redacted] and [redacted]"]


def test_each_line_of_a_secret_of_several_is_one(caplog, clock):
    Chatter("git", ("-----BEGIN\nabcdef\n-----END",), clock).feed(b"have abcdef here\n")
    assert lines(caplog) == ["git says: have [redacted] here"]


@pytest.mark.parametrize("length", range(4 * LINE_MOST + 1, 4 * LINE_MOST + 300, 37))
def test_half_a_secret_where_a_line_is_cut_is_not_there_either(caplog, clock, length):
    secret = "".join(chr(ord("a") + number % 26) for number in range(300))
    Chatter("git", (secret,), clock).feed((secret * 30).encode()[:length])
    assert len(lines(caplog)) == 1
    assert "abc" not in lines(caplog)[0]


def test_a_short_word_is_no_secret(caplog, clock):
    Chatter("git", ("a", ""), clock).feed(b"all that\n")
    assert lines(caplog) == ["git says: all that"]


def test_what_would_move_a_terminals_cursor_is_spelled_out(caplog, clock):
    Chatter("git", (), clock).feed(b"\x1b[2Jclear\xff\n")
    assert "\x1b" not in lines(caplog)[0]


def test_a_line_without_end_is_cut(caplog, clock):
    chatter = Chatter("git", (), clock)
    for _ in range(100):
        chatter.feed(b"x" * LINE_MOST)
    chatter.feed(b"\nnext\n")
    assert len(lines(caplog)) == 2
    assert len(lines(caplog)[0]) < LINE_MOST + 20
    assert lines(caplog)[1] == "git says: next"


def test_a_flood_is_counted_and_ends(caplog, clock):
    chatter = Chatter("git", (), clock)
    chatter.feed(b"x\n" * (LINES_FREE + 50))
    assert len(lines(caplog)) == LINES_FREE
    clock.now = 10.0
    chatter.feed(b"y\n")
    assert lines(caplog)[-2:] == ["git: 50 lines of its stderr were left out", "git says: y"]
