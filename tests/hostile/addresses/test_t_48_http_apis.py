"""T-48 where a caller's words do go into an address: a value stays in its place, whatever it holds.

An operation of an HTTP API has parameters in its path, its query, its headers. What the request line may then look like
is taken apart here as a careless server would do it, not as the code under test does.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.upstream.openapi.requests import Request, write
from gateway.upstream.openapi.styles import Unwritable
from registry.openapi.plan import plan_of
from tests.fakes.servers.api import operation, tool

HOSTILE = [
    "../../admin", "..", ".", "%2e%2e", "%2E%2e%2fadmin", "..%2fadmin", "a/../b", "a%2fb", "a\\..\\b", "%5c..%5c",
    "..;/x", "..;x=1", "/etc", "//evil.example/x", "", "/", "a//b", "?x=1", "#f", "a?b=c#d", "@evil.example", " ",
    "http://evil.example", "a\r\nHost: evil.example", "a\r\n\r\nGET /admin HTTP/1.1\r\n", "\x00", "\x7f", "\u2028",
    "\u010d\u010a", "\u2025", "\uff0e\uff0e", "\uff0f", "%252e%252e%252f", "%c0%ae%c0%ae", "a b HTTP/1.1", " ..",
    "..\t", "&admin=1", "x&item=2", "a=b", "é" * 300,
]  # fmt: skip
STYLES = [{}, {"style": "label"}, {"style": "matrix"}, {"explode": True}, {"style": "matrix", "explode": True}]
LINE = re.compile(rb"/[!-~]*")
VALUES = st.recursive(
    st.sampled_from(HOSTILE) | st.text(max_size=20) | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(HOSTILE) | st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def written(description: dict[str, Any], arguments: dict[str, Any]) -> Request | None:
    """What would leave; None if nothing would."""
    plan = plan_of(tool(description, "op").raw)
    assert plan is not None
    try:
        return write(plan, "/api/v1", json.dumps(arguments).encode())
    except Unwritable:
        return None


def segments(target: str, times: int) -> list[str]:
    """The path for a server that undoes escapes `times` before it looks for slashes, and drops what is after a `;`."""
    path = target.partition("?")[0]
    for _ in range(times):
        path = unquote(path)
    return [one.partition(";")[0].strip() for one in path.replace("\\", "/").split("/")]


def check_path(target: str) -> None:
    assert LINE.fullmatch(target.encode("ascii"))
    assert "#" not in target
    for times in (0, 1, 2):
        seen = segments(target, times)
        assert seen[:4] == ["", "api", "v1", "items"]
        assert seen[-1] == "edit"
        assert len(seen) == 6
        assert not {".", ".."} & set(seen)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("text", HOSTILE)
def test_t_48_a_value_in_a_path_is_one_segment_of_it_or_is_refused(style: dict[str, Any], text: str) -> None:
    key = {"name": "item", "in": "path", "required": True, **style}
    for value in (text, [text], ["a", text], {text: "a"}, {"a": text}):
        request = written(operation("/items/{item}/edit", key), {"item": value})
        if request is not None:
            check_path(request.target.decode("ascii"))


@settings(max_examples=300)
@given(value=VALUES, style=st.sampled_from(STYLES))
@example(value="..", style={"style": "matrix"})
@example(value=".", style={"style": "label"})
def test_t_48_whatever_value_it_is(value: Any, style: dict[str, Any]) -> None:
    key = {"name": "item", "in": "path", "required": True, **style}
    request = written(operation("/items/{item}/edit", key), {"item": value})
    if request is not None:
        check_path(request.target.decode("ascii"))


@settings(max_examples=200)
@given(text=st.sampled_from(HOSTILE) | st.text(max_size=30))
def test_t_48_a_value_that_may_hold_slashes_leads_no_further_up(text: str) -> None:
    key = {"name": "item", "in": "path", "required": True, "x-multi-segment": True}
    request = written(operation("/items/{item}/edit", key), {"item": text})
    if request is None:
        return
    for times in (0, 1, 2):
        seen = segments(request.target.decode("ascii"), times)
        assert seen[:4] == ["", "api", "v1", "items"]
        assert seen[-1] == "edit"
        assert not {".", ".."} & set(seen)


@settings(max_examples=300)
@given(value=VALUES, other=VALUES)
def test_t_48_a_value_in_a_query_adds_no_other_parameter(value: Any, other: Any) -> None:
    first, second = {"name": "q", "in": "query", "explode": False}, {"name": "r", "in": "query", "style": "deepObject"}
    request = written(operation("/items", first, second), {"q": value, "r": other})
    if request is None:
        return
    path, _, query = request.target.decode("ascii").partition("?")
    assert path == "/api/v1/items"
    assert all(
        unquote_plus(name).partition("[")[0] in {"q", "r"} for name, _ in parse_qsl(query, keep_blank_values=True)
    )


def test_t_48_members_that_become_parameters_are_none_that_there_are() -> None:
    wide, own = {"name": "filter", "in": "query", "schema": {"type": "object"}}, {"name": "admin", "in": "query"}
    assert written(operation("/items", wide, own), {"filter": {"admin": "1"}}) is None
    request = written(operation("/items", wide, own), {"filter": {"a&admin": "1&admin=2"}})
    assert request is not None
    assert request.target == b"/api/v1/items?a%26admin=1%26admin%3D2"


@pytest.mark.parametrize("text", HOSTILE)
def test_t_48_a_value_in_a_header_stays_in_its_line(text: str) -> None:
    header, cookie = {"name": "X-One", "in": "header"}, {"name": "c", "in": "cookie"}
    request = written(operation("/items", header), {"X-One": text})
    names = (
        [b"Accept"] if request is None else [line.partition(b":")[0] for line in request.lines.split(b"\r\n") if line]
    )
    assert set(names) <= {b"Accept", b"X-One"}
    request = written(operation("/items", cookie), {"c": text})
    assert request is not None
    assert request.lines.count(b"\r\n") == 2
    assert b";" not in request.lines.rpartition(b"Cookie: c=")[2]


@pytest.mark.parametrize(
    "name",
    ["Authorization", "authorization", "Cookie", "Host", "Content-Length", "Transfer-Encoding", "X-Forwarded-For",
     "Accept", "Content-Type", "X-HTTP-Method-Override", "Connection", "TE", "Expect", "Mcp-Session-Id",
     "X-Amz-Security-Token", "Forwarded", "Proxy-Authorization",
     "User-Agent", "Upgrade", "Sec-Fetch-Site", "Bad\r\nName", "Bad Name", ""],
)  # fmt: skip
def test_t_48_no_description_makes_a_header_of_ours_a_callers_to_say(name: str) -> None:
    described = operation("/items", {"name": name, "in": "header", "required": True})
    raw = json.loads(tool(described, "op").raw)
    assert raw["inputSchema"]["properties"] == {}
    assert written(described, {name: "x"}) is None


@pytest.mark.parametrize("place", ["query", "header", "cookie"])
def test_t_49_where_a_description_wants_a_secret_nobody_may_say_one(place: str) -> None:
    described = operation("/items", {"name": "api_key", "in": place, "required": True})
    described["components"] = {"securitySchemes": {"k": {"type": "apiKey", "in": place, "name": "api_key"}}}
    assert json.loads(tool(described, "op").raw)["inputSchema"]["properties"] == {}


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/../admin", "/a/../b", "/./x", "/a?x=1", "/a#b", "/a b", "/a\r\nHost: x",
     "http://evil.example/", "x", "/{a}{", "/a\\b", "/é"],
)  # fmt: skip
def test_t_48_no_description_leads_out_of_the_registered_address(path: str) -> None:
    described = operation(path)
    if path == "//evil.example/x":  # a path like any other, below the address
        plan = plan_of(tool(described, "op").raw)
        assert plan is not None
        assert write(plan, "/", b"{}").target.startswith(b"/")
        return
    with pytest.raises(Exception, match="path"):
        tool(described, "op")


@pytest.mark.parametrize("level", ["operation", "path"])
def test_t_49_an_operation_at_another_address_is_no_tool_of_this_server(level: str) -> None:
    described = operation("/items")
    item = described["paths"]["/items"]
    (item if level == "path" else item["get"])["servers"] = [{"url": "https://evil.example"}]
    with pytest.raises(Exception, match="another address"):
        tool(described, "op")
