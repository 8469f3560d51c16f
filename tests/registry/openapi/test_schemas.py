"""Schemas of a description, as JSON Schema 2020-12 that stands by itself."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.openapi.answers import answer_schema, loose
from registry.openapi.reading import Document
from registry.openapi.schemas import TooLarge, Writer, fitting
from registry.screening import screen
from registry.tables import Kind

OLD, NEW = "3.0.3", "3.1.0"


def document(version: str = NEW, **schemas: Any) -> Document:
    return Document({"openapi": version, "paths": {}, "components": {"schemas": schemas}}, version)


def write(schema: Any, version: str = NEW, **schemas: Any) -> Any:
    return Writer(document(version, **schemas), 8).write(schema)


def to(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"enum": ["a"], "type": "string", "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
        (
            {"oneOf": [{"type": "string"}], "nullable": True},
            {"anyOf": [{"oneOf": [{"type": "string"}]}, {"type": "null"}]},
        ),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 1}),
        ({"type": "integer", "maximum": 9, "exclusiveMaximum": False}, {"type": "integer", "maximum": 9}),
        ({"type": "string", "example": "x", "xml": {}, "externalDocs": {}, "x-y": 1}, {"type": "string"}),
    ],
)
def test_what_3_0_says_in_its_own_way_is_said_in_json_schema(schema: Any, expected: Any) -> None:
    assert write(schema, OLD) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "integer", "exclusiveMinimum": 0}),
        ({"type": "string", "nullable": True}, {"type": "string"}),  # a word of 3.0
        ({"const": 1}, {"const": 1}),
        (True, {}),
        (False, {"not": {}}),
        ({"type": "file"}, {}),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}),
        ({"type": "string", "minLength": -1, "maxLength": "x", "multipleOf": 0}, {"type": "string"}),
        ({"minimum": True, "maximum": float("inf")}, {}),
        ({"enum": [1, True, 1.0, "1"]}, {"enum": [1, True, "1"]}),
        ({"enum": [{"a": 1}]}, {}),
        ({"required": ["a", "a", 1]}, {"required": ["a"]}),
    ],
)
def test_what_3_1_says_is_json_schema_already_where_it_holds(schema: Any, expected: Any) -> None:
    written = write(schema)
    assert written == expected
    assert json.dumps(written) == json.dumps(expected)  # 1 and True are the same to Python


def test_references_are_written_out_with_their_own_words() -> None:
    written = write(
        {"$ref": "#/components/schemas/A", "description": "mine"}, A={"type": "string", "description": "its"}
    )
    assert written == {"type": "string", "description": "mine"}


def test_what_contains_itself_is_cut_to_its_type() -> None:
    node = {"type": "object", "properties": {"next": to("Node"), "name": {"type": "string"}}}
    assert write(to("Node"), Node=node)["properties"] == {"next": {"type": "object"}, "name": {"type": "string"}}


def test_references_outside_are_not_followed() -> None:
    assert write({"$ref": "https://evil.example/schema.json"}) == {}
    assert write({"$ref": "other.yaml#/A", "description": "x"})["description"] == "x"


def test_what_only_answers_hold_is_not_asked_for() -> None:
    schema = {
        "type": "object", "required": ["id", "name"],
        "properties": {"id": {"type": "integer", "readOnly": True}, "name": to("Name"), "at": to("At")},
    }  # fmt: skip
    written = write(schema, Name={"type": "string"}, At={"readOnly": True})
    assert written == {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize("pattern", ["(a+)+$", "(", "[\u200b]", "a" * 2000, "^\\p{L}+$", 7])
def test_patterns_that_not_every_client_can_run_are_left_to_the_api(pattern: Any) -> None:
    assert "pattern" not in write({"type": "string", "pattern": pattern})


def test_a_sound_pattern_stays() -> None:
    assert write({"type": "string", "pattern": "^[a-z]{1,8}$"})["pattern"] == "^[a-z]{1,8}$"


def test_what_is_too_large_is_written_less_deep() -> None:
    leaf = {"type": "object", "properties": {f"p{n}": {"type": "string", "description": "w" * 50} for n in range(30)}}
    middle = {"type": "object", "properties": {f"m{n}": to("Leaf") for n in range(30)}}
    described = document(Leaf=leaf, Middle=middle)
    written = fitting(described, lambda writer: writer.write(to("Middle")), 4096)
    assert written["properties"]["m0"] == {"type": "object"}
    with pytest.raises(TooLarge):
        fitting(described, lambda writer: writer.write(to("Middle")), 10)


def test_what_unfolds_without_end_costs_no_more_than_what_is_written() -> None:
    many = {f"S{n}": {"type": "object", "properties": {f"p{m}": to(f"S{n + 1}") for m in range(20)}} for n in range(40)}
    counted: list[Writer] = []

    def made(writer: Writer) -> Any:
        counted.append(writer)
        return writer.write(to("S0"))

    assert len(json.dumps(fitting(document(**many), made, 24 * 1024))) < 24 * 1024
    assert sum(writer.written for writer in counted) < 20_000


SUCCESS = {"200": {"content": {"application/json": {"schema": to("A")}}}}


def test_an_answer_is_promised_where_every_success_is_one_object() -> None:
    described = document(A={"type": "object", "properties": {"id": {"type": "integer"}}})
    assert answer_schema(described, SUCCESS) is not None
    assert answer_schema(described, SUCCESS | {"204": {"description": "nothing"}}) is None
    assert answer_schema(described, SUCCESS | {"404": {"description": "no"}}) is not None
    assert answer_schema(described, {"default": SUCCESS["200"]}) is None
    assert answer_schema(document(A={"type": "array"}), SUCCESS) is None
    assert answer_schema(described, None) is None


def test_what_is_promised_holds_for_answers_that_are_not_exact() -> None:
    exact = {
        "type": "object", "required": ["id"], "additionalProperties": False,
        "properties": {"id": {"type": "integer", "minimum": 1}, "tags": {"type": "array", "items": {"enum": ["a"]}},
                       "secret": {"type": "string", "writeOnly": True}},
    }  # fmt: skip
    promised = loose(Writer(document(A=exact), 4), to("A"))
    assert "secret" not in promised["properties"]
    for answer in ({}, {"id": None}, {"id": -1, "more": 1}, {"tags": ["z", None]}):
        jsonschema.validate(answer, promised, jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"tags": "a"}, promised, jsonschema.Draft202012Validator)


SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
WORDS = (
    "type", "enum", "const", "default", "minimum", "maximum", "exclusiveMinimum", "multipleOf", "minLength", "pattern",
    "required", "properties", "items", "additionalProperties", "allOf", "anyOf", "oneOf", "not", "nullable", "format",
    "description", "title", "$ref", "readOnly", "uniqueItems", "deprecated", "prefixItems", "discriminator", "x-any",
)  # fmt: skip
TYPES = st.sampled_from(["string", "object", "array", "integer", "null", "file"])
LIKELY = {"$ref": st.sampled_from(["#/components/schemas/A", "#/components/schemas/B", "#/x", "y"]), "type": TYPES}


@st.composite
def one_schema(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    words = draw(st.lists(st.sampled_from(WORDS), max_size=6))
    found: dict[str, Any] = {}
    for word in words:
        either = st.dictionaries(st.text(max_size=4), inner, max_size=3) | st.lists(inner, max_size=3) | inner | SCALAR
        found[word] = draw(LIKELY.get(word, either) | either)
    return found


SCHEMAS = st.recursive(SCALAR, one_schema, max_leaves=15)


@settings(max_examples=250)
@given(schema=SCHEMAS, a=SCHEMAS, b=SCHEMAS, version=st.sampled_from([OLD, NEW]))
def test_whatever_a_description_holds_a_valid_schema_comes_of_it(schema: Any, a: Any, b: Any, version: str) -> None:
    described = document(version, A=a, B=b)
    for made in (Writer(described, 8).write(schema), loose(Writer(described, 4), schema)):
        jsonschema.Draft202012Validator.check_schema(made)
        raw = json.dumps({"name": "t", "inputSchema": {"type": "object", "properties": {"x": made}}}, allow_nan=False)
        refused = [one for one in screen(Kind.TOOL, "t", raw).findings if one.severity == "refused"]
        assert refused == []
