"""What a description comes to: definitions, and the address that its paths are below."""

from __future__ import annotations

import json
from typing import Any

import pytest

from registry.openapi.kept import Api, Text, understand
from registry.openapi.operations import Choice

SOURCE = "https://docs.example/v2/openapi.json"
ALL = Choice(operations=("*",))


def api(servers: Any, source: str = SOURCE, address: str = "", **paths: Any) -> Api:
    described = {"openapi": "3.1.0", "servers": servers, "paths": paths or {"/a": {"get": {"operationId": "a"}}}}
    return understand(Text(json.dumps(described).encode(), source), ALL, address=address)


@pytest.mark.parametrize(
    ("servers", "source", "expected"),
    [
        ([{"url": "https://api.example/v1/"}], SOURCE, "https://api.example/v1"),
        ([{"url": "/api"}], SOURCE, "https://docs.example/api"),
        ([{"url": "../v1"}], SOURCE, "https://docs.example/v1"),
        ([], SOURCE, "https://docs.example"),
        (None, SOURCE, "https://docs.example"),
        ([{"url": "https://{r}.example", "variables": {"r": {"default": "eu"}}}], SOURCE, "https://eu.example"),
        ([{"url": "https://{r}.example"}], SOURCE, ""),
        ([{"url": "https://a.example"}, {"url": "https://b.example"}], SOURCE, "https://a.example"),
        ([{"url": "/api"}], "", ""),
        ([{"url": "ftp://a.example"}], SOURCE, ""),
        ([{"url": "https://a.example?x=1"}], SOURCE, ""),
        ([{"url": "http://[bad"}], SOURCE, ""),
        ([{"url": 7}], SOURCE, ""),
        ("x", SOURCE, "https://docs.example"),
    ],
)
def test_the_address_is_the_first_that_the_description_names_in_full(servers: Any, source: str, expected: str) -> None:
    assert api(servers, source).address == expected


def test_what_somebody_says_stands_over_the_description() -> None:
    assert api([{"url": "https://a.example"}], address="https://own.example/x").address == "https://own.example/x"


def test_operations_of_another_address_are_usable_where_that_is_the_address() -> None:
    root = [{"url": "https://a.example"}]
    paths = {
        "/a": {"get": {"operationId": "a"}},
        "/files": {"servers": [{"url": "https://files.example/v0/"}], "get": {"operationId": "f"}},
    }
    found = api(root, **paths)
    assert [one.name for one in found.seen.definitions] == ["server", "a"]
    assert found.left == ("GET /files: it is at another address: register that as a server of its own",)
    found = api(root, address="https://files.example:443/v0", **paths)
    assert [one.name for one in found.seen.definitions] == ["server", "a", "f"]
