"""What an assertion calls itself decides what it can be taken for."""

from __future__ import annotations

import pytest

from authz.errors import AssertionRefused
from authz.tokens.assertions import ID_JAG, judge
from idp_adapters.contract import Verified

CLAIMS = {"iss": "https://i.example", "sub": "s", "aud": "https://us.example", "iat": 1000, "exp": 1100}


def judged(called: str | None, typ: str | None = None) -> str:
    said = Verified({"alg": "ES256", **({"typ": called} if called else {})}, CLAIMS)
    return judge(said, audiences={"https://us.example"}, now=1000, longest=600, typ=typ).subject


@pytest.mark.parametrize("called", [None, "JWT", "jwt", "application/jwt"])
def test_an_assertion_without_a_purpose_of_its_own_is_taken(called: str | None) -> None:
    assert judged(called) == "s"


@pytest.mark.parametrize("purpose", ["at+jwt", "dpop+jwt", "logout+jwt", ID_JAG])
def test_t_04_whatever_was_made_for_something_else_is_not(purpose: str) -> None:
    for called in (purpose, purpose.upper(), f"application/{purpose}", f"Application/{purpose.title()}"):
        with pytest.raises(AssertionRefused):
            judged(called)


@pytest.mark.parametrize("called", [None, "JWT", f"application/{ID_JAG}", ID_JAG.upper()])
def test_an_identity_says_that_it_is_one_to_the_letter(called: str | None) -> None:
    assert judged(ID_JAG, ID_JAG) == "s"
    with pytest.raises(AssertionRefused):
        judged(called, ID_JAG)
