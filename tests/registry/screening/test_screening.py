"""Screening: total, bounded, and telling without repeating."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.catalogue.templates import TemplateError, compile_template
from registry.screening import Severity, screen
from registry.screening.hidden import hidden, visible
from registry.screening.patterns import danger
from registry.tables import Kind

words = st.sampled_from(
    [
        "name",
        "uri",
        "uriTemplate",
        "inputSchema",
        "outputSchema",
        "properties",
        "$ref",
        "$defs",
        "type",
        "object",
        "pattern",
        "x-mcp-header",
        "icons",
        "src",
        "arguments",
        "annotations",
        "items",
        "$anchor",
        "#",
        "#/$defs/a",
        "a",
        "string",
        "allOf",
    ]
)
SEMVER = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
    r"(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?$"
)
texts = words | st.text(max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=25,
)


@given(st.sampled_from(Kind), texts, st.dictionaries(texts, anything, max_size=6))
def test_any_definition_gets_a_digest_and_findings(kind: Kind, name: str, value: dict[str, Any]) -> None:
    screened = screen(kind, name, json.dumps(value))
    assert len(screened.digest) == 64
    assert all(finding.severity in set(Severity) for finding in screened.findings)
    json.dumps([finding.plain() for finding in screened.findings]).encode()


@given(st.sampled_from(Kind), st.text(max_size=80))
def test_any_text_at_all_is_screened_without_an_accident(kind: Kind, raw: str) -> None:
    assert len(screen(kind, "t", raw).digest) == 64


@given(st.text(max_size=60))
def test_findings_repeat_nothing_that_is_hidden(text: str) -> None:
    value = {"name": text, text: text, "inputSchema": {"type": "object"}}
    for finding in screen(Kind.TOOL, text, json.dumps(value)).findings:
        assert not list(hidden(finding.what + finding.where))


@given(st.text())
def test_what_is_made_visible_hides_nothing(text: str) -> None:
    assert not [what for what in hidden(visible(text)) if "combining" not in what]


@given(st.text(alphabet=st.characters(max_codepoint=0x7E, min_codepoint=0x20)))
def test_plain_ascii_is_left_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert not list(hidden(text))


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z0-9]+(?:-[a-z0-9]+)*$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$",
        r"^https?://.+$",
        r"^[\w.+-]+@[\w-]+\.[\w.]+$",
        SEMVER,
        r"^\/(?:[^\/]+\/)*[^\/]*$",
        r"^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$",
        r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$",
        r"^\p{L}+$",
        r"(",
    ],
)
def test_patterns_that_people_write_are_let_through(pattern: str) -> None:
    assert danger(pattern) == ""


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a|a)*$",
        r"^(a|aa)+$",
        r"([a-z]+)*",
        r"(.*a){20}",
        r"(\w+\s?)*$",
        r"(x+x+)+y",
        r".*.*.*=",
        r"(\.(\d*\d*))*",
        r"((a+)+)+",
        r"(?:a?a)*x",
        "a" * 2000,
    ],
)
def test_patterns_that_never_end_are_not(pattern: str) -> None:
    assert danger(pattern)


@given(st.text(alphabet="ab()[]{}*+?|.\\^$d,19-", max_size=40))
@example("[[")  # Python warns of it
def test_any_pattern_is_judged(pattern: str) -> None:
    danger(pattern)


@given(st.text(alphabet="ab{}+#./;?&:", max_size=30), st.text(max_size=30))
def test_any_template_is_compiled_or_refused(template: str, uri: str) -> None:
    try:
        found = compile_template(template)
    except TemplateError:
        return
    assert found.fullmatch("a" * 5000) is None
    found.fullmatch(uri)


@given(st.text(alphabet="abc019-_~", min_size=1, max_size=20), st.text(alphabet="abc019-_~", min_size=1, max_size=20))
def test_a_template_fits_what_it_expands_to(one: str, other: str) -> None:
    found = compile_template("db://{schema}/tables/{table}{?full}")
    assert found.fullmatch(f"db://{one}/tables/{other}")
    assert found.fullmatch(f"db://{one}/tables/{other}?full=1")
    assert not found.fullmatch(f"db://{one}/{other}")
    assert not found.fullmatch(f"db://{one}/x/tables/{other}")
