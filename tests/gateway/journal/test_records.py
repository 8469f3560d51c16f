from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.records import LINE_LIMIT, BadLine, chain, check, encode, genesis


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=30), min_size=1, max_size=5))
def test_a_line_that_was_made_is_a_record_and_no_other_line_is(fields: dict[str, str]) -> None:
    start = genesis("writer")
    line, digest = chain(start, 7, encode(fields))
    assert line.endswith(b"\n")
    assert check(start, 7, line[:-1], 0).digest == digest
    for previous, seq in ((genesis("other"), 7), (start, 8)):
        with pytest.raises(BadLine):
            check(previous, seq, line[:-1], 0)


def test_a_huge_record_says_who_and_what_and_how_much_was_left_out() -> None:
    body = encode({"at": 1.0, "event": "policy.changed", "who": "operator:root", "changes": ["x" * 100] * 5000})
    assert len(body) < LINE_LIMIT
    found = json.loads(body)
    assert found["who"] == "operator:root"
    assert found["changes"]["items"] == 5000
    assert len(found["changes"]["sha256"]) == 64


def test_what_is_no_json_is_written_as_text() -> None:
    assert json.loads(encode({"path": ValueError("x"), "number": 2**70}))["path"] == "x"
