"""Proofs of possession that we make: good for the one request that they are made for, and for no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz import jose
from authz.errors import ProofRefused
from authz.tokens import dpop

KEY = jose.generate()
NOW = 1_800_000_000.0
methods = st.sampled_from(["GET", "POST", "DELETE"])
urls = st.from_regex(r"https://[a-z]{1,8}\.example(:[5-9][0-9]{2})?/[a-z/]{0,12}", fullmatch=True)
tokens = st.binary(min_size=1, max_size=40)


@given(methods, urls, tokens)
def test_one_holds_for_its_own_request_and_names_its_key(method: str, url: str, token: bytes) -> None:
    proof = dpop.make(KEY, method=method, url=url, now=NOW, token=token, more={"nonce": "n"})
    assert dpop.judge(proof, method=method, url=url, now=NOW, token=token).jkt == jose.thumbprint(KEY)


@given(st.tuples(methods, urls, tokens), st.tuples(methods, urls, tokens))
def test_and_for_no_other(made: tuple[str, str, bytes], other: tuple[str, str, bytes]) -> None:
    proof = dpop.make(KEY, method=made[0], url=made[1], now=NOW, token=made[2])
    for place in range(3):
        wanted = (*made[:place], other[place], *made[place + 1 :])
        if other[place] != made[place]:
            with pytest.raises(ProofRefused):
                dpop.judge(proof, method=wanted[0], url=wanted[1], now=NOW, token=wanted[2])


def test_no_two_count_as_one() -> None:
    marks = {dpop.judge(_made(), method="POST", url="https://a.example/mcp", now=NOW).mark for _ in range(50)}
    assert len(marks) == 50


def test_nothing_of_the_private_half_goes_along() -> None:
    header = jose._read(_made().encode().split(b".")[0])
    assert header.keys() == {"typ", "alg", "jwk"}
    assert not jose.PRIVATE_MEMBERS & header["jwk"].keys()


def _made() -> str:
    return dpop.make(KEY, method="POST", url="https://a.example/mcp", now=NOW)
