"""The strict reading of messages, against a slow one that is plainly right."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.portal.wire import join, members_of, parse, read_strictly, recognised
from gateway.problems import Problem

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


class Twins(list):
    """An object as pairs, so that it can say one key twice."""


PAIRS = st.recursive(
    st.sampled_from([0, "a:b", "{,}", '"', "\\", "\u00e9:"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(st.sampled_from(["a", "b", "a:b", "\u00e9", '"']), inner), max_size=3).map(Twins)
    ),
    max_leaves=12,
)


def written(value: Any, escape: bool) -> str:
    if isinstance(value, Twins):
        return "{%s}" % ",".join(f"{json.dumps(k, ensure_ascii=escape)}: {written(v, escape)}" for k, v in value)  # noqa: UP031
    if isinstance(value, list):
        return "[%s]" % " , ".join(written(each, escape) for each in value)  # noqa: UP031
    return json.dumps(value, ensure_ascii=escape)


def has_twins(value: Any) -> bool:
    if isinstance(value, Twins):
        return len({key for key, _ in value}) < len(value) or any(has_twins(each) for _, each in value)
    return isinstance(value, list) and any(has_twins(each) for each in value)


@given(TREES, st.booleans())
def test_what_json_can_say_is_read_as_it_was_meant(tree: Any, escape: bool) -> None:
    try:
        body = json.dumps(tree, ensure_ascii=escape).encode()
    except UnicodeEncodeError:
        return
    try:
        read = read_strictly(body)
    except Problem:  # numbers that no other reader would keep
        assert any(abs(each) > 2**63 for each in numbers(tree))
        return
    assert read == json.loads(body)


def numbers(tree: Any) -> list[float]:
    if isinstance(tree, dict):
        return [each for value in tree.values() for each in numbers(value)]
    if isinstance(tree, list):
        return [each for value in tree for each in numbers(value)]
    return [tree] if isinstance(tree, int | float) and not math.isnan(tree) else []


@settings(max_examples=300)
@given(PAIRS, st.booleans())
def test_a_key_said_twice_is_seen_wherever_it_is_and_nothing_else_is(value: Any, escape: bool) -> None:
    body = written(value, escape).encode()
    if has_twins(value):
        with pytest.raises(Problem):
            read_strictly(body)
    else:
        assert read_strictly(body) == json.loads(body)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\0a', max_size=200).map(str.encode))
def test_no_bytes_at_all_do_anything_but_be_read_or_refused(body: bytes) -> None:
    for read in (read_strictly, parse):
        try:
            read(body)
        except Problem as problem:
            assert problem.status == 400  # noqa: PT017 - being read is as good


@given(st.dictionaries(st.text(), TREES))
def test_members_taken_apart_and_joined_are_what_they_were(members: dict[str, Any]) -> None:
    try:
        raw = json.dumps(members, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert json.loads(join(members_of(raw))) == members


@pytest.mark.parametrize(
    "inside", ['"' + "[" * 100 + '"', '"' + "\\" * 100 + '"', '"' + ',{"'.replace('"', "'") * 9000 + '"']
)
def test_brackets_and_commas_in_strings_count_for_nothing(inside: str) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":%s}}' % inside.encode()
    assert parse(body).method == "m"


def test_measuring_a_hostile_body_takes_time_in_proportion_to_its_size() -> None:
    """Quotes and backslashes made earlier patterns of this kind quadratic: four mebibytes would take hours."""
    for body in (b'\\"' * 2_000_000, b'"' * 4_000_000, b"[" + b'"\\' * 2_000_000, b'"a" ' * 1_000_000):
        with pytest.raises(Problem):
            read_strictly(b"[" * 33 + body)
        with pytest.raises(Problem):
            read_strictly(body + b"[" * 33)


META = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","a:b":[1,{"c":null}]}'
PIECES = st.sampled_from(
    [
        b'"jsonrpc":"2.0"', b'"id":1', b'"id":"a:b"', b'"id":"a"', b'"id":1.0', b'"id":null', b'"id":01',
        b'"id":"\xff"', b'"method":"tools/call"', b'"method":"tools/list"', b'"result":{}', b'"extra":1',
        b'"i\\u0064":2', b'"i\\/d":2', b'"id":"\\ud800"', b'"id":"\\u003a"', b'"id":"\\\\"',
        b'"m\\u0065thod":"tools/call"',
    ]
)  # fmt: skip
INNER = st.sampled_from(
    [
        b'"name":"notes_add"', b'"name":"a:b"', b'"name":"\xff"', b'"name":1', b'"_meta":' + META,
        b'"arguments":{"a":1}', b'"arguments":{"a":1,"a":2}', b'"arguments":{"a":"{:,\\"}"}', b'"arguments":[]',
        b'"arguments":{"a":"\xff"}',
        b'"arguments":{"a":1,"\\u0061":"\\u003a"}', b'"arguments":{"a":"\\ud800"}',
        b'"name":"\\u003a"', b'"name":"\\ud800"',
        b'"arguments":{"a":%b}' % (b"[" * 29 + b"]" * 29), b'"arguments":{"a":%b}' % (b"[" * 30 + b"]" * 30),
        b'"arguments":{"a":%b}' % (b"[" * 31 + b"]" * 31), b'"arguments":{"a":%b}' % (b"[" * 4900 + b"]" * 4900),
        b'"arguments":{"a":1e999}', b'"arguments":{}', b'"requestState":"x"', b'"arguments": { "b" : [ [ ] ] } ',
    ]
)  # fmt: skip
USUAL = [b'"jsonrpc":"2.0"', b'"id":1', b'"method":"tools/call"']
USUAL_INNER = [b'"name":"notes_add"', b'"arguments":{"a":1}', b'"_meta":' + META]


@settings(max_examples=400)
@given(
    outer=st.permutations(USUAL) | st.lists(PIECES, max_size=5),
    inner=st.permutations(USUAL_INNER) | st.lists(INNER, max_size=5),
    tail=st.sampled_from([b"", b" ", b"x", b"\x00", b"}", b" " * 11_000]),
)
def test_t_57_what_is_recognised_is_read_no_other_way(outer: list[bytes], inner: list[bytes], tail: bytes) -> None:
    """Two readers that disagree about one message are a way around policy: the quick one only ever says less."""
    body = b'{%b,"params":{%b}}%b' % (b",".join(outer), b",".join(inner), tail)
    said = recognised(body)
    if said is None:
        assert sorted(outer) != sorted(USUAL) or sorted(inner) != sorted(USUAL_INNER) or tail.strip()
        return
    message = parse(body)
    ident, name, arguments, value, meta = said
    assert (message.id, message.method, message.value("name")) == (ident, "tools/call", name)
    assert {key: bytes(raw) for key, raw in message.params.items() if key != "name"} == {"arguments": arguments}
    assert message.raw_meta == meta
    assert message.value("arguments") == value


@pytest.mark.parametrize(
    ("arguments", "known"),
    [('"a":"' + "x" * 20_000 + '"', True), ('"a":"' + "x" * 70_000 + '"', False), ('"a":[' + "1," * 9_990 + "1]", True),
     ('"a":[' + "1," * 10_000 + "1]", False), ('"a":' + "[" * 9_000 + "]" * 9_000, False)],
)  # fmt: skip
def test_a_call_of_some_size_is_recognised_one_of_many_values_is_not(arguments: str, known: bool) -> None:
    params = '{"name":"a","arguments":{%s}}' % arguments  # noqa: UP031
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % params.encode()
    assert (recognised(body) is not None) is known
