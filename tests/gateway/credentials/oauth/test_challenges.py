"""What a server says when it wants a token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.credentials.oauth.finding.challenges import SCOPES_MOST, Challenge, read_challenge, read_scopes


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"", Challenge()),
        (b"Bearer", Challenge()),
        (
            b'Bearer scope="a b", resource_metadata="https://x.example/y"',
            Challenge("", ("a", "b"), "https://x.example/y"),
        ),
        (b'bearer error="insufficient_scope",scope="a"', Challenge("insufficient_scope", ("a",))),
        (b"Bearer error=insufficient_scope, scope=a", Challenge("insufficient_scope", ("a",))),
        (b'Basic realm="scope=\\"x\\"", Bearer scope="a"', Challenge("", ("a",))),
        (
            b'DPoP algs="ES256", scope="no", Bearer scope="a", Basic realm="r", scope="b"',
            Challenge("", ("a",), proofs=("ES256",)),
        ),
        (b'Bearer scope="a", Bearer scope="b"', Challenge("", ("a",))),
        (b'Bearer scope="a", scope="b"', Challenge("", ("a",))),
        (b'Bearer realm="a, Bearer scope=\\"z\\"", scope="a"', Challenge("", ("a",))),
        (b'Negotiate abc==, Bearer scope="a"', Challenge("", ("a",))),
        (b'Basic scope="a"', Challenge()),
    ],
)
def test_the_bearer_challenge_is_read(header, said):
    assert read_challenge(header) == said


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"DPoP", Challenge(proofs=("ES256",))),
        (b'DPoP algs="PS256 ES384"', Challenge(proofs=("PS256", "ES384"))),
        (
            b'DPoP error="insufficient_scope", scope="a", resource_metadata="https://x.example/y"',
            Challenge("insufficient_scope", ("a",), "https://x.example/y", ("ES256",)),
        ),
        (
            b'Bearer realm="r", dpop error="insufficient_scope", scope="a"',
            Challenge("insufficient_scope", ("a",), "", ("ES256",)),
        ),
        (b'Bearer realm="DPoP algs=none"', Challenge()),
    ],
)
def test_and_what_the_one_for_bound_tokens_says_besides(header, said):
    assert read_challenge(header) == said


@pytest.mark.parametrize("text", ["a\\b", 'a"b', "ä", "a\x7f", "x" * 300, " ".join(map(str, range(SCOPES_MOST + 1)))])
def test_what_is_no_list_of_scopes_has_none(text):
    assert read_scopes(text) == ()


@given(st.binary(max_size=300))
def test_whatever_a_server_says_can_be_read(header):
    said = read_challenge(b"Bearer " + header)
    assert len(said.scopes) <= SCOPES_MOST


@given(st.lists(st.from_regex(r"[a-z:./_-]{1,20}", fullmatch=True), max_size=8, unique=True))
def test_scopes_keep_their_order(scopes):
    header = f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'.encode()
    assert read_challenge(header).scopes == tuple(scopes)
