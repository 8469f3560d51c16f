"""XML signature wrapping, in eight shapes and every way of signing (identity.md 2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_adapters.contract import IdentityRefused
from idp_adapters.saml import shape as reading
from tests.idp_adapters.saml.house import RESPONSE, House, Said, encrypted, posted, sign, signature
from tests.idp_adapters.saml.wrapping import OF_ASSERTIONS, SHAPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program

MODES = {
    "both": Said(),
    "response": Said(sign_assertion=False),
    "assertion": Said(sign_response=False),
}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_t_31_the_honest_answer_that_is_wrapped_counts(house: House) -> None:
    assert house.arrive(MODES["both"]).subject == "alice-for-good"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_t_31_a_wrapped_answer_is_refused(house: House, shape: str, mode: str) -> None:
    def wrap(xml: str) -> str:
        wrapped = SHAPES[shape](xml)
        assert "admin-for-good" in wrapped
        assert wrapped != xml
        return wrapped

    with pytest.raises(IdentityRefused):
        house.arrive(MODES[mode], wrap)


@pytest.mark.parametrize("shape", OF_ASSERTIONS)
@pytest.mark.parametrize("hidden", [False, True])
def test_t_31_a_wrapped_assertion_is_refused_even_in_a_response_that_is_signed(
    house: House, shape: str, hidden: bool
) -> None:
    """One layer alone: as though the provider itself signed around what somebody had wrapped."""

    def wrap(xml: str) -> str:
        wrapped = OF_ASSERTIONS[shape](xml)
        if hidden:
            wrapped = _all_encrypted(wrapped)
        return sign(wrapped, RESPONSE, said.response_id)

    departure = house.depart()
    said = Said(request=departure.kept["request"], sign_response=False)
    with_place = said.signed().replace("<samlp:Status>", f"{signature(said.response_id)}<samlp:Status>", 1)
    arrival = posted(wrap(with_place))
    with pytest.raises(IdentityRefused):
        house.adapter.arrive(arrival, departure.kept)


@pytest.mark.parametrize("shape", SHAPES)
def test_t_31_were_the_strict_reading_gone_nobody_would_be_admin_all_the_same(
    house: House, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read is what a signature covers, whatever else the document holds."""
    monkeypatch.setattr(reading, "read", reading.parse)
    try:
        found = house.arrive(Said(), SHAPES[shape])
    except IdentityRefused:
        return
    assert (found.subject, found.login) == ("alice-for-good", "alice")


def _all_encrypted(xml: str) -> str:
    """The outermost assertions in clear and wrapped are encrypted together with all that they hold."""
    in_clear = xml.index("</samlp:Extensions>") if "</samlp:Extensions>" in xml else 0
    first = xml.index("<saml:Assertion", in_clear)
    last = xml.rindex("</saml:Assertion>") + len("</saml:Assertion>")
    clear = xml[first:last]
    return encrypted(xml, clear)
