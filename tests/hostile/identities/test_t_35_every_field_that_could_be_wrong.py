"""One test for each field: really signed, and wrong (identity.md 2.2 has what libraries let through)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_adapters.contract import IdentityRefused
from tests.idp_adapters.saml.house import ACS, House, Said, at, idp_metadata

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def refused(house: House, said: Said) -> str:
    with pytest.raises(IdentityRefused) as raised:
        house.arrive(said)
    return raised.value.reason


def without(start: str, end: str) -> Said:
    """What lies between is gone before anything is signed."""
    return Said(edit=lambda xml: xml[: xml.index(start)] + xml[xml.index(end) + len(end) :])


def test_t_35_another_audience_is_refused(house: House) -> None:
    assert refused(house, Said(audience="https://somebody-else.example")) == "saml_audience"


def test_t_35_no_audience_is_refused(house: House) -> None:
    assert refused(house, without("<saml:AudienceRestriction>", "</saml:AudienceRestriction>")) == "saml_audience"


def test_t_35_a_second_restriction_without_us_is_refused(house: House) -> None:
    other = "<saml:AudienceRestriction><saml:Audience>https://other.example</saml:Audience></saml:AudienceRestriction>"
    said = Said(edit=lambda xml: xml.replace("</saml:Conditions>", f"{other}</saml:Conditions>"))
    assert refused(house, said) == "saml_audience"


def test_t_35_no_conditions_at_all_are_refused(house: House) -> None:
    assert refused(house, without("<saml:Conditions", "</saml:Conditions>")) == "saml_no_conditions"


def test_t_35_a_condition_that_nobody_knows_is_refused(house: House) -> None:
    said = Said(edit=lambda xml: xml.replace("</saml:Conditions>", "<saml:Condition/></saml:Conditions>"))
    assert refused(house, said) == "saml_condition"


def test_t_35_another_recipient_is_refused(house: House) -> None:
    assert refused(house, Said(recipient=f"{ACS}/elsewhere")) == "saml_recipient"


def test_t_35_no_recipient_is_refused(house: House) -> None:
    assert refused(house, Said(edit=lambda xml: xml.replace(f' Recipient="{ACS}"', ""))) == "saml_recipient"


def test_t_35_another_destination_is_refused(house: House) -> None:
    assert refused(house, Said(destination="https://other.example/acs")) == "saml_destination"


def test_t_35_no_destination_is_refused(house: House) -> None:
    assert refused(house, Said(edit=lambda xml: xml.replace(f' Destination="{ACS}"', ""))) == "saml_destination"


def test_t_35_an_answer_to_another_request_is_refused(house: House) -> None:
    assert refused(house, Said(request="_somebody-elses")) == "saml_in_response_to"


def test_t_35_a_confirmation_for_another_request_is_refused(house: House) -> None:
    assert refused(house, Said(confirmed_request="_somebody-elses")) == "saml_in_response_to"


def test_t_35_a_confirmation_for_no_request_is_refused(house: House) -> None:
    assert refused(house, Said(confirmed_request="")) == "saml_in_response_to"


def test_t_35_an_answer_that_nobody_asked_for_is_refused(house: House) -> None:
    unasked = Said(edit=lambda xml: xml.replace(' InResponseTo="', ' Consent="'), confirmed_request="")
    assert refused(house, unasked) == "saml_in_response_to"


def test_t_35_one_that_is_not_valid_yet_is_refused(house: House) -> None:
    assert refused(house, Said(not_before=at(300))) == "saml_not_yet"


def test_t_35_one_that_is_no_longer_valid_is_refused(house: House) -> None:
    assert refused(house, Said(until=at(-300))) == "saml_expired"


def test_t_35_a_confirmation_that_has_ended_is_refused(house: House) -> None:
    assert refused(house, Said(confirmed_until=at(-300))) == "saml_expired"


def test_t_35_a_confirmation_without_an_end_is_refused(house: House) -> None:
    endless = Said(edit=lambda xml: xml.replace("SubjectConfirmationData NotOnOrAfter", "SubjectConfirmationData X"))
    assert refused(house, endless) == "saml_time"


def test_t_35_a_confirmation_for_years_is_refused(house: House) -> None:
    assert refused(house, Said(confirmed_until=at(365 * 86400))) == "saml_too_long"


def test_t_35_clocks_may_differ_by_less_than_a_minute(house: House) -> None:
    assert house.arrive(Said(not_before=at(40), until=at(-40), confirmed_until=at(-40))).login == "alice"


def test_t_35_no_confirmation_is_refused(house: House) -> None:
    said = without("<saml:SubjectConfirmation ", "</saml:SubjectConfirmation>")
    assert refused(house, said) == "saml_confirmation"


def test_t_35_another_way_of_confirming_than_bearer_is_refused(house: House) -> None:
    assert refused(house, Said(edit=lambda xml: xml.replace("cm:bearer", "cm:sender-vouches"))) == "saml_confirmation"


def test_t_35_an_assertion_of_another_issuer_is_refused(house: House) -> None:
    assert refused(house, Said(issuer="https://other-idp.example")) == "saml_issuer"


def test_t_35_a_response_of_another_issuer_is_refused(house: House) -> None:
    assert refused(house, Said(response_issuer="https://other-idp.example")) == "saml_issuer"


def test_t_35_another_provider_with_a_key_that_we_know_is_refused(house: House, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "idp.xml").write_text(idp_metadata("https://other-idp.example"))
    theirs = House(other, house.equipment, entity_id="https://other-idp.example")
    assert refused(theirs, Said()) == "saml_issuer"


def test_t_35_no_sign_in_at_the_provider_is_refused(house: House) -> None:
    said = without("<saml:AuthnStatement", "</saml:AuthnStatement>")
    assert refused(house, said) == "saml_no_authnstatement"


def test_t_35_a_session_that_has_ended_is_refused(house: House) -> None:
    ended = f'SessionNotOnOrAfter="{at(-300)}" SessionIndex='
    assert refused(house, Said(edit=lambda xml: xml.replace("SessionIndex=", ended))) == "saml_expired"


def test_t_35_a_status_other_than_success_is_refused_though_somebody_is_named(house: House) -> None:
    assert refused(house, Said(status="urn:oasis:names:tc:SAML:2.0:status:Responder")) == "saml_status"


@pytest.mark.parametrize("version", ["1.1", "2.1", ""])
def test_t_35_another_version_is_refused(house: House, version: str) -> None:
    assert refused(house, Said(version=version)) == "saml_version"


@pytest.mark.parametrize("kind", ["transient", "unspecified"])
def test_t_35_a_name_that_does_not_last_is_refused_with_words(house: House, kind: str) -> None:
    with pytest.raises(IdentityRefused, match="persistent NameID"):
        house.arrive(Said(format=f"urn:oasis:names:tc:SAML:2.0:nameid-format:{kind}"))


@pytest.mark.parametrize("qualifier", ["NameQualifier", "SPNameQualifier"])
def test_t_35_the_same_name_among_the_users_of_somebody_else_is_refused(house: House, qualifier: str) -> None:
    said = Said(edit=lambda xml: xml.replace("<saml:NameID ", f'<saml:NameID {qualifier}="https://other.example" '))
    assert refused(house, said) == "saml_qualifier"


def test_t_35_the_answer_brought_to_another_address_is_refused(house: House) -> None:
    from tests.idp_adapters.saml.house import posted

    departure = house.depart()
    xml = Said(request=departure.kept["request"]).signed()
    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(posted(xml, f"{ACS}/other"), departure.kept)
    assert raised.value.reason == "saml_destination"


@pytest.mark.parametrize(
    "said", ["2026-11-22", "2026-11-22T00:00:00", "2026-11-22T00:00:00+00:00", "9999-99-99T99:99:99Z"]
)
def test_t_35_a_time_that_is_none_is_refused(house: House, said: str) -> None:
    assert refused(house, Said(until=said)) == "saml_time"
