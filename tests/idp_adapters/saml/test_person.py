"""From a statement to somebody: no signature is needed to try it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from idp_adapters.config import ConfigRefused, read_config
from idp_adapters.contract import IdentityRefused
from idp_adapters.saml import judging, people, shape
from idp_adapters.saml.config import SamlConfig
from tests.idp_adapters.saml.house import ACS, ISSUER, SP_ENTITY, Said

PLAIN: dict[str, Any] = {"entity_id": ISSUER, "metadata_file": "/idp.xml"}


def identified(said: Said, **options: Any) -> Any:
    assertion = shape.parse(said.edit(said.but(request="_x").assertion()).encode())
    expected = judging.Expected(issuer=ISSUER, audience=SP_ENTITY, recipient=ACS, request="_x", now=time.time())
    return people.identify(judging.state(assertion, expected), SamlConfig(**PLAIN | options))


def with_attribute(name: str, *values: str) -> Said:
    inner = "".join(f"<saml:AttributeValue>{value}</saml:AttributeValue>" for value in values)
    more = f'<saml:Attribute Name="{name}">{inner}</saml:Attribute></saml:AttributeStatement>'
    return Said(edit=lambda xml: xml.replace("</saml:AttributeStatement>", more))


def refused(said: Said, **options: Any) -> str:
    with pytest.raises(IdentityRefused) as raised:
        identified(said, **options)
    return raised.value.reason


def test_the_persistent_name_is_the_subject_and_the_mail_never_is() -> None:
    found = identified(Said())
    assert (found.issuer, found.subject) == (ISSUER, "alice-for-good")


def test_an_attribute_can_be_the_subject_where_names_do_not_last() -> None:
    transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
    found = identified(Said(format=transient), subject_attribute="uid")
    assert found.subject == "alice"


@pytest.mark.parametrize("values", [(), ("",), ("a", "b"), ("x" * 300,)])
def test_an_attribute_that_is_not_one_name_is_no_subject(values: tuple[str, ...]) -> None:
    assert refused(with_attribute("employee", *values), subject_attribute="employee") == "saml_subject"


def test_an_attribute_given_twice_is_no_subject() -> None:
    assert refused(with_attribute("uid", "admin"), subject_attribute="uid") == "saml_subject"


def test_the_first_of_the_configured_names_is_taken() -> None:
    said = with_attribute("roles", "operator")
    assert identified(said, group_attributes=["roles", "groups"]).groups == {"operator"}
    assert identified(said, group_attributes=["nothing", "groups"]).groups == {"devs", "eng"}
    assert identified(said, group_attributes=["nothing"]).groups == frozenset()


def test_the_standard_names_are_known_without_configuring_them() -> None:
    said = Said(edit=lambda xml: xml.replace('Name="uid"', 'Name="urn:oid:0.9.2342.19200300.100.1.1"'))
    assert identified(said).login == "alice"


def test_what_is_to_be_carried_is_carried_and_nothing_else() -> None:
    found = identified(with_attribute("country", "CH", "AT"), carry=["country", "absent"])
    assert found.claims == {"groups": {"devs", "eng"}, "country": {"CH", "AT"}}


def test_without_a_login_attribute_the_subject_is_the_login() -> None:
    assert identified(Said(), login_attributes=["nothing"]).login == "alice-for-good"


def test_encrypted_attributes_are_refused_for_they_might_be_groups() -> None:
    hidden = "<saml:EncryptedAttribute/></saml:AttributeStatement>"
    assert refused(Said(edit=lambda xml: xml.replace("</saml:AttributeStatement>", hidden))) == "saml_attribute"


def test_too_many_groups_are_not_no_groups() -> None:
    link = "http://schemas.microsoft.com/claims/groups.link"
    assert refused(with_attribute(link, "https://graph.example/x")) == "saml_overage"


@pytest.mark.parametrize("values", [["x" * 1025], [str(number) for number in range(2001)]])
def test_more_than_anybody_needs_is_refused_and_not_cut_off(values: list[str]) -> None:
    assert refused(with_attribute("roles", *values), group_attributes=["roles"]) == "saml_attribute_size"


def test_an_attribute_that_nobody_asks_for_may_look_as_it_likes() -> None:
    nested = "<saml:NameID>x</saml:NameID>"
    assert identified(with_attribute("eduPersonTargetedID", nested)).login == "alice"
    assert refused(with_attribute("roles", nested), group_attributes=["roles"]) == "saml_mixed"


def test_how_somebody_proved_who_they_are_is_said_in_the_common_words() -> None:
    assert identified(Said()).amr == ("pwd",)
    assert identified(Said(acr="https://refeds.org/profile/mfa")).amr == ("mfa",)
    assert identified(Said(acr="urn:something:else")).amr == ()
    said = with_attribute(people.METHODS, "http://schemas.microsoft.com/claims/multipleauthn", "urn:unknown")
    assert identified(said).amr == ("mfa", "pwd")


def test_the_way_that_is_demanded_is_insisted_on() -> None:
    demanded = ["https://refeds.org/profile/mfa"]
    assert refused(Said(), authn_contexts=demanded) == "saml_context"
    assert identified(Said(acr=demanded[0]), authn_contexts=demanded).acr == demanded[0]


def test_what_a_logout_needs_is_kept() -> None:
    kept = people.kept(identified(Said()).keep)
    assert kept.name_id.value == "alice-for-good"
    assert kept.session == "session-of-alice"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"entity_id": ISSUER}, "metadata_url or metadata_file"),
        (PLAIN | {"metadata_url": "https://idp.example/metadata"}, "one of them"),
        ({"metadata_file": "/idp.xml"}, "entity_id"),
        (PLAIN | {"metadata_refresh": 1}, "metadata_refresh"),
    ],
)
def test_a_configuration_that_cannot_work_says_why(given: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigRefused, match=match):
        read_config("saml", given)
