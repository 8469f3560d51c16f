"""What a description offers, what it is called, and what is chosen of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.catalogue.naming import is_legal, twins
from registry.errors import DescriptionRefused
from registry.openapi.operations import Choice, Operation, chosen, operations
from registry.openapi.reading import read_description
from tests.fakes.servers.api import described


def offered(paths: dict[str, Any], **more: Any) -> list[Operation]:
    return operations(read_description(json.dumps({"openapi": "3.1.0", "paths": paths, **more}).encode()))


def ids(choice: Choice) -> list[str]:
    return [one.id for one in chosen(operations(read_description(json.dumps(described()).encode())), choice)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(operations=("items/get",)), ["items/get"]),
        (Choice(operations=("items_get",)), ["items/get"]),
        (Choice(operations=("items/*",)), ["items/list", "items/add", "items/get", "items/remove"]),
        (Choice(operations=("GET /items/{item}",)), ["items/get"]),
        (Choice(operations=("* /items/{item}/*",)), ["pictures/get"]),
        (Choice(tags=("PICTURES",)), ["pictures/get"]),
        (Choice(tags=("pictures",), operations=("items/add",)), ["items/add", "pictures/get"]),
        (Choice(read_only=True), ["items/list", "items/get", "pictures/get"]),
        (Choice(tags=("items",), read_only=True), ["items/list", "items/get"]),
    ],
)
def test_a_choice_is_by_id_by_place_by_pattern_or_by_tag(choice: Choice, expected: list[str]) -> None:
    assert ids(choice) == expected


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(), "nothing is chosen.*5 operations"),
        (Choice(operations=("items/get", "nope")), "'nope' matches nothing"),
        (Choice(operations=("items/add",), read_only=True), "all that was chosen"),
        (Choice(operations=("items[/]get",)), "matches nothing"),
    ],
)
def test_a_choice_that_comes_to_nothing_says_what_there_is(choice: Choice, words: str) -> None:
    with pytest.raises(DescriptionRefused, match=words):
        ids(choice)


def test_names_are_legal_and_come_of_the_id_or_of_the_place() -> None:
    found = offered(
        {"/a/{b}": {"get": {"operationId": "do it / now!"}, "put": {}}, "/é": {"get": {"operationId": "é" * 300}}}
    )
    assert [one.name for one in found[:2]] == ["do_it_now", "put__a_b"]
    assert all(is_legal(one.name) for one in found)


def test_operations_that_look_alike_are_told_apart_by_what_they_are() -> None:
    paths = {
        "/a": {"get": {"operationId": "list_it"}},
        "/b": {"get": {"operationId": "List-1t"}},
        "/c": {"get": {"operationId": "x"}},
    }
    found = {one.path: one.name for one in offered(paths)}
    assert not twins(list(found.values()))
    assert found["/c"] == "x"
    turned = {one.path: one.name for one in offered(dict(reversed(paths.items())))}
    assert turned == found  # whatever stands first


def test_methods_whose_answers_have_nothing_for_a_model_are_no_operations() -> None:
    assert offered({"/a": {"head": {}, "options": {}, "trace": {}, "parameters": [], "x-get": {}}}) == []


def test_what_is_at_another_address_is_said_to_be_unusable() -> None:
    here = [{"url": "https://a.example"}]
    found = offered(
        {"/a": {"get": {"servers": [{"url": "https://b.example"}]}, "put": {"servers": here}}}, servers=here
    )
    assert [bool(one.unusable) for one in found] == [True, False]
