"""One spelling of a URI."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.catalogue.uris import LONGEST, is_plain, meanings

UNRESERVED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"


@pytest.mark.parametrize(
    "uri",
    [
        "note://one", "note://Alice/Big", "note:one", "file:///a/b.txt", "file:///a/.hidden", "file:///a/..b",
        "https://example.com/A?q=%C3%A9#x", "x:/a?b=/../c", "note://a%2Fb", "urn:isbn:0451450523", "git+ssh://h/p",
    ],
)  # fmt: skip
def test_the_usual_spelling_is_plain(uri: str) -> None:
    assert is_plain(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "note://%61", "note://%7e", "note://%2E", "note://%c3%a9", "note://é", "note://a b", "note://%", "note://%4",
        "NOTE://one", "Note://one", "https://Example.com/", "file:///a/../b", "file:///a/./b", "file:///a/..", "x:..",
        "file:///..", "file:///a\\b", "note://a\n", "note://a\u200b", "one", "", ":x", "note://" + "a" * LONGEST,
        'x:"', "x:<", "x:^", "x:`", "x:{id}", "x:|",
    ],
)  # fmt: skip
def test_every_other_spelling_is_not(uri: str) -> None:
    assert not is_plain(uri)


@given(text=st.text(UNRESERVED + "%/é :", min_size=1, max_size=30), where=st.integers(0), small=st.booleans())
def test_of_two_that_differ_by_needless_escapes_at_most_one_is_plain(text: str, where: int, *, small: bool) -> None:

    uri = "note://x" + quote(text)
    at = where % len(uri)
    if uri[at] not in UNRESERVED or uri[at - 1 : at] == "%" or uri[at - 2 : at - 1] == "%":
        return
    escape = f"%{ord(uri[at]):02x}" if small else f"%{ord(uri[at]):02X}"
    other = uri[:at] + escape + uri[at + 1 :]
    assert not is_plain(other)
    assert set(meanings(uri)) & set(meanings(other))


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    is_plain(text)
    assert meanings(text)[0] == text
