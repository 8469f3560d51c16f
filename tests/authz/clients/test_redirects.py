"""Redirect URIs are compared as strings; the port of a loopback address alone may differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.clients.redirects import fits, is_loopback, problem, source

REGISTERED = ("https://app.example/cb", "http://127.0.0.1:3000/cb", "http://localhost/cb", "http://[::1]:1/cb")
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(printable)
def test_nothing_fits_but_itself_unless_it_is_loopback(uri: str) -> None:
    assert fits(uri, REGISTERED) == (uri in REGISTERED or is_loopback(uri))


@given(st.sampled_from(["http://127.0.0.1", "http://localhost", "http://[::1]"]), st.integers(1, 65535))
def test_a_loopback_port_may_differ(host: str, port: int) -> None:
    assert fits(f"{host}:{port}/cb", REGISTERED)
    assert not fits(f"{host}:{port}/other", REGISTERED)
    assert not fits(f"https{host[4:]}:{port}/cb", REGISTERED)


@given(printable)
def test_what_follows_a_loopback_port_is_compared_exactly(tail: str) -> None:
    if tail != "/cb" and not tail[:1].isdigit():
        assert not fits(f"http://127.0.0.1:3000{tail}", REGISTERED)


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb", "https://app.example", "https://app.example:8443/cb?x=1", "http://127.0.0.1/cb",
        "http://127.0.0.1:3000/cb", "http://localhost:1/", "http://[::1]:9/cb", "cursor://anysphere.retrieval/oauth/cb",
        "vscode://vendor.extension/cb", "com.example.app:/cb", "com.example.app:/oauth?x",
    ],
)  # fmt: skip
def test_what_clients_use_may_be_registered(uri: str) -> None:
    assert not problem(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "", "app", "/cb", "//app.example/cb", "http://app.example/cb", "ftp://app.example/cb", "javascript:alert(1)",
        "data:text/html,x", "file:///etc/passwd", "blob:https://app.example/x", "https://", "https:///cb",
        "https://u@app.example/cb", "https://app.example:0/cb", "https://app.example:99999/cb", "https://[::1/cb",
        "https://app.example/cb#f", "https://*.example/cb", "https://app.example/c b", "https://app.example/cb\n",
        "https://app.example\\cb", "https://\u0430pp.example/cb", "http://127.0.0.1:99999/cb", "view-source:https://x/",
        "https://app.example;sandbox/cb", "https://app.example,x/cb", "https://app.example'x/cb", "https://a%2eb/cb",
        "https://app.example:/cb", "intent://x/#Intent;end", "JAVASCRIPT:alert(1)", "https://app.example/" + "x" * 1024,
    ],
)  # fmt: skip
def test_what_leads_astray_may_not_be_registered(uri: str) -> None:
    assert problem(uri)


@given(printable)
def test_whatever_may_be_registered_fits_itself(uri: str) -> None:
    if not problem(uri):
        assert fits(uri, (uri,))


def test_a_web_application_is_reached_over_https_only() -> None:
    assert not problem("https://app.example/cb", web=True)
    assert problem("http://127.0.0.1/cb", web=True)
    assert problem("cursor://x/cb", web=True)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://app.example:8443/cb?x", "https://app.example:8443"),
        ("http://127.0.0.1:5/cb", "http://127.0.0.1:5"),
        ("http://[::1]:5/cb", "http:"),
        ("cursor://x/cb", "cursor:"),
    ],
)
def test_a_form_may_lead_to_the_origin_or_scheme_of_the_redirect(uri: str, expected: str) -> None:
    assert source(uri) == expected
