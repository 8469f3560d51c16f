"""Descriptions as they come: JSON or YAML, of a version that is understood, and never larger than they look."""

from __future__ import annotations

import json
import time

import pytest
import yaml

from registry.errors import DescriptionRefused
from registry.openapi.reading import plain, read_description
from registry.screening.hidden import hidden
from tests.fakes.servers.api import described

HEAD = "openapi: 3.1.0\npaths: {}\n"


def test_json_and_yaml_say_the_same() -> None:
    value = described()
    assert read_description(json.dumps(value).encode()).root == value
    assert read_description(b"\xef\xbb\xbf" + json.dumps(value).encode()).root == value
    assert read_description(yaml.safe_dump(value, allow_unicode=True).encode()).root == value


def test_yaml_is_read_as_json_has_it() -> None:
    text = (
        HEAD + "x: {200: ok, on: no, at: 2026-01-01, v: 1.10, octal: 010, hex: 0x1F, time: 12:30:45, t: true, n: ~}\n"
    )
    assert read_description(text.encode()).root["x"] == {
        "200": "ok", "on": "no", "at": "2026-01-01", "v": 1.1, "octal": "010", "hex": "0x1F", "time": "12:30:45",
        "t": True, "n": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"swagger": "2.0", "paths": {}}', "Swagger 2.0: convert it"),
        (b'{"openapi": "3.2.0", "paths": {}}', "3.0 and 3.1 are understood"),
        (b'{"openapi": "2.0", "paths": {}}', "3.0 and 3.1 are understood"),
        (b'{"info": {}}', "no OpenAPI description"),
        (b'{"openapi": "3.1.0"}', "no paths"),
        (b'{"openapi": "3.1.0", "paths": []}', "no paths"),
        (b"[]", "no object"),
        (b"<html></html>", "no object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: [", "neither JSON nor YAML"),
        (b"", "no object"),
        ((HEAD + "x: !!python/object/apply:os.system [ls]").encode(), "neither JSON nor YAML"),
        ((HEAD + "x: {<<: {a: 1}}").encode(), "merge keys"),
        ((HEAD + "x: {[a]: 1}").encode(), "a key that is no text"),
        ((HEAD + "x: &x [*x]").encode(), "neither JSON nor YAML"),
        (b"[" * 100_000, "too deep"),
        ((HEAD + "x: " + "[" * 500 + "]" * 500).encode(), "too deep"),
        (b'{"openapi": "3.1.0", "paths": {}}' + b" " * (33 * 1024 * 1024), "larger than 32 MiB"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(text: bytes, words: str) -> None:
    with pytest.raises(DescriptionRefused, match=words):
        read_description(text)


def test_aliases_that_unfold_without_end_are_counted_and_not_unfolded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.process_time()
    with pytest.raises(DescriptionRefused, match="aliases"):
        read_description((HEAD + "\n".join(lines)).encode())
    assert time.process_time() - began < 5


def test_an_alias_that_is_used_twice_is_no_harm() -> None:
    root = read_description((HEAD + "a: &a {x: 1}\nb: *a\n").encode()).root
    assert root["a"] == root["b"] == {"x": 1}


@pytest.mark.parametrize(
    "reference", ["#/a/b", "#/a~1b/0", "#/nothing", "other.json#/a", "https://x.example/a", "#", "a"]
)
def test_references_lead_to_places_in_the_document_alone(reference: str) -> None:
    document = read_description(
        json.dumps({"openapi": "3.1.0", "paths": {}, "a": {"b": {}}, "a/b": [{"c": 1}]}).encode()
    )
    expected = {"#/a/b": {}, "#/a~1b/0": {"c": 1}}.get(reference)
    assert document.at(reference) == expected
    assert document.resolved({"$ref": reference}) == (expected or {})


def test_references_in_a_circle_lead_nowhere() -> None:
    value = {"openapi": "3.1.0", "paths": {}, "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}}
    assert read_description(json.dumps(value).encode()).resolved({"$ref": "#/a"}) == {}


def test_text_is_shown_without_what_nobody_sees() -> None:
    odd = "a\u200bb\u202ec\U000e0041d\r\ne\x1b[31mf\u00a0g" + "z\u0301\u0301\u0301\u0301\u0301\u0301"
    assert not list(hidden(plain(odd, 1000)))
    assert plain(odd, 1000).startswith("abcd\ne[31mf")
    assert plain("x" * 50, 10) == "x" * 9 + "…"
    assert plain(7, 10) == plain(None, 10) == ""
