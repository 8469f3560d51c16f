"""Digests of definitions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.digests import digest, parse
from registry.errors import DefinitionRefused
from registry.tables import Kind

if TYPE_CHECKING:
    import random

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(inner, order)) for key, inner in value.items()]
        order.shuffle(items)
        return dict(items)
    return [shuffled(inner, order) for inner in value] if isinstance(value, list) else value


@given(objects, st.randoms(use_true_random=False))
def test_key_order_and_layout_are_no_difference(value: dict[str, Any], order: random.Random) -> None:
    other = json.dumps(shuffled(value, order), indent=2, ensure_ascii=order.random() < 0.5)
    if "\ud800" <= max(other, default="") <= "\udfff":
        return
    assert digest(Kind.TOOL, parse(other)) == digest(Kind.TOOL, value)


@given(objects, objects)
def test_different_values_have_different_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(Kind.TOOL, one) == digest(Kind.TOOL, other)) == same


@pytest.mark.parametrize(
    ("one", "other"), [("a", "a "), ("a b", "a  b"), (1, 1.0), (1, "1"), (True, 1), (None, ""), ([], {})]
)
def test_the_smallest_difference_of_a_value_counts(one: Any, other: Any) -> None:
    assert digest(Kind.TOOL, {"x": one}) != digest(Kind.TOOL, {"x": other})


def test_kinds_do_not_share_digests() -> None:
    assert len({digest(kind, {"name": "x"}) for kind in Kind}) == len(Kind)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ('{"a":1,"a":2}', "twice"),
        ('{"a":{"b":1,"b":1}}', "twice"),
        ('{"a":NaN}', "none"),
        ('{"a":1e400}', "too large"),
        ('{"a":' + "9" * 5000 + "}", "too large"),
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
        ("", "not JSON"),
        ('{"a":' + "[" * 100 + "]" * 100 + "}", "deeper"),
        ('{"a":"' + "x" * 300_000 + '"}', "larger"),
        ("[" * 100_000, "deeper"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: str, why: str) -> None:
    with pytest.raises(DefinitionRefused, match=why):
        parse(raw)


def test_brackets_inside_texts_are_no_depth() -> None:
    assert parse(json.dumps({"a": "[{" * 200 + '\\"[['}))
