"""Chains of those who act, as tokens carry them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz.acting import DEEPEST_CHAIN, parties, read_chain, write_chain
from authz.errors import TokenRefused

names = st.text("abc_:1", min_size=1, max_size=8)


@given(st.lists(names, max_size=DEEPEST_CHAIN))
def test_a_chain_is_read_as_it_was_written(chain: list[str]) -> None:
    act = write_chain(chain)
    assert read_chain({} if act is None else {"act": act}) == tuple(chain)


@given(st.lists(names, min_size=DEEPEST_CHAIN + 1, max_size=40))
def test_t_16_a_longer_one_is_no_chain(chain: list[str]) -> None:
    with pytest.raises(TokenRefused):
        read_chain({"act": write_chain(chain)})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.sampled_from(["sub", "act", "iss"]), some),
)


@given(anything)
def test_whatever_it_is_it_is_a_chain_or_refused(act: Any) -> None:
    try:
        chain = read_chain({"act": act})
    except TokenRefused:
        return
    assert write_chain(chain) == act


def test_policy_is_asked_about_everybody_but_who_made_a_token_by_hand() -> None:
    assert parties(("agt_1", "agt_2", "operator:root")) == ("agt_1", "agt_2")
