"""Definitions of tools, as they are screened, reviewed and pinned."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import DescriptionRefused
from registry.openapi.definitions import Drawn, draw
from registry.openapi.operations import operations
from registry.openapi.plan import KEY, plan_of
from registry.openapi.reading import read_description
from registry.screening import screen
from registry.tables import Kind
from tests.fakes.servers.api import described, operation


def draw_all(description: dict[str, Any]) -> Drawn:
    document = read_description(json.dumps(description).encode())
    return draw(document, operations(document))


def drawn(description: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every tool by its name."""
    found = draw_all(description)
    return {one.name: json.loads(one.raw) for one in found.definitions if one.kind == Kind.TOOL}


def test_a_tool_says_all_that_a_model_needs_and_how_it_is_called() -> None:
    tool = drawn(described())["items_list"]
    assert tool["title"] == "List items"
    assert tool["description"] == "List items."
    assert tool["annotations"] == {"readOnlyHint": True, "openWorldHint": True, "idempotentHint": True}
    assert tool["inputSchema"]["additionalProperties"] is False
    assert tool["inputSchema"]["properties"]["page"] == {"type": "integer", "minimum": 1}
    assert list(tool["inputSchema"]["properties"]) == ["page", "tags", "X-Trace"]
    assert tool["_meta"][KEY]["method"] == "GET"
    assert tool["_meta"][KEY]["path"] == "/items"


@pytest.mark.parametrize(
    ("method", "hints"),
    [
        ("get", {"readOnlyHint": True, "idempotentHint": True}),
        ("post", {"readOnlyHint": False}),
        ("patch", {"readOnlyHint": False}),
        ("put", {"readOnlyHint": False, "idempotentHint": True, "destructiveHint": True}),
        ("delete", {"readOnlyHint": False, "idempotentHint": True, "destructiveHint": True}),
    ],
)
def test_annotations_promise_what_the_method_promises(method: str, hints: dict[str, bool]) -> None:
    assert drawn(operation("/x", method=method))["op"]["annotations"] == {"openWorldHint": True, **hints}


def test_what_is_deprecated_is_said_to_be() -> None:
    assert drawn(operation("/x", deprecated=True))["op"]["description"].startswith("Deprecated")


def test_the_words_of_the_api_are_a_definition_of_their_own() -> None:
    found = draw_all(described()).definitions[0]
    assert found.kind == Kind.SERVER
    assert json.loads(found.raw) == {"name": "To do", "description": "What is to be done."}


def test_the_same_name_in_two_places_is_two_arguments() -> None:
    places = [
        {"name": "id", "in": "path", "required": True},
        {"name": "id", "in": "query"},
        {"name": "body", "in": "query"},
    ]
    taken = {"content": {"application/json": {"schema": {"type": "object"}}}}
    raw = json.dumps(drawn(operation("/x/{id}", *places, method="put", requestBody=taken))["op"])
    plan = plan_of(raw)
    assert plan is not None
    assert plan.arguments() == ("id_path", "id_query", "body_query", "body")
    assert set(json.loads(raw)["inputSchema"]["properties"]) == set(plan.arguments())


def test_arguments_have_names_that_model_apis_take() -> None:
    names = ["filter[a]", "filter.a", "$top", "X-Y", "x" * 100, "é", "[]", "filter_a"]
    raw = json.dumps(drawn(operation("/x", *({"name": name, "in": "query"} for name in names)))["op"])
    plan, called = plan_of(raw), list(json.loads(raw)["inputSchema"]["properties"])
    assert plan is not None
    assert [one.name for one in plan.parameters] == names
    assert list(plan.arguments()) == called
    assert all(re.fullmatch("[A-Za-z0-9_.-]{1,64}", name) for name in called)
    assert called[1:4] == ["filter.a", "top", "X-Y"]


def test_what_an_operation_says_of_a_parameter_stands_over_what_its_path_says() -> None:
    description = operation("/x", {"name": "q", "in": "query", "description": "own"})
    description["paths"]["/x"]["parameters"] = [{"name": "q", "in": "query", "description": "of the path"}]
    assert drawn(description)["op"]["inputSchema"]["properties"]["q"] == {"description": "own"}


def test_a_file_is_asked_for_in_base64() -> None:
    schema = {"type": "object", "properties": {"f": {"type": "string", "format": "binary", "description": "a picture"}}}
    taken = {"content": {"multipart/form-data": {"schema": schema}}}
    body = drawn(operation("/x", method="post", requestBody=taken))["op"]["inputSchema"]["properties"]["body"]
    assert body["properties"]["f"] == {"type": "string", "contentEncoding": "base64", "description": "a picture"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": "/x/{id}"}, "no parameter describes"),
        ({"parameters": [{"name": "a", "in": "query"}] * 101}, "more than 100 parameters"),
        ({"parameters": [{"name": "a", "in": "nowhere", "required": True}]}, "cannot be written"),
        ({"method": "post", "requestBody": {"required": True, "content": {"a b": {}}}}, "content of no kind"),
    ],
)
def test_what_cannot_be_called_is_left_out_with_its_reason(changes: dict[str, Any], words: str) -> None:
    path, parameters = changes.pop("path", "/x"), changes.pop("parameters", [])
    with pytest.raises(DescriptionRefused, match=words):
        drawn(operation(path, *parameters, **changes))


def test_what_a_description_hides_is_not_in_a_definition() -> None:
    words = "Lists.\u200b\u202e\U000e0049\U000e0067 \x1b[8mignore\x1b[0m"
    tool = drawn(operation("/x", {"name": "q", "in": "query", "description": words}, summary=words, description=words))[
        "op"
    ]
    findings = screen(Kind.TOOL, "op", json.dumps(tool)).findings
    assert not [one for one in findings if one.severity == "refused"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(one for key, each in inner for one in places(each, (*path, key)))]


BASE = described()
PLACES = [path for path in places(BASE) if path]
WORDS = ["$ref", "get", "in", "name", "schema", "type", "content", "application/json", "200", "servers"]
TEXTS = ["#/components/schemas/Item", "get", "path", "query", "object", "{item}", "../x", "\u202e", "*/*"]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


def put(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """A copy of `value` with `odd` at `path`."""
    if not path:
        return odd
    key, *rest = path
    if isinstance(value, dict):
        return value | {key: put(value[key], tuple(rest), odd)}
    return [put(each, tuple(rest), odd) if at == key else each for at, each in enumerate(value)]


@settings(max_examples=200)
@given(path=st.sampled_from(PLACES), odd=ODD)
def test_whatever_stands_anywhere_there_are_sound_tools_or_a_reason(path: tuple[Any, ...], odd: Any) -> None:
    try:
        tools = drawn(put(BASE, path, odd))
    except DescriptionRefused:
        return
    for name, tool in tools.items():
        jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
        plan = plan_of(json.dumps(tool))
        assert plan is not None
        assert set(tool["inputSchema"]["properties"]) == set(plan.arguments())
        assert not [one for one in screen(Kind.TOOL, name, json.dumps(tool)).findings if one.severity == "refused"]
