"""What is not signed, signed by somebody else, weakly, twice, or in a way that can be read in two ways."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from idp_adapters.contract import IdentityRefused
from tests.idp_adapters.saml.house import RSA_SHA256, SHA256, House, Said, assertion_in, new_id, pair, signature

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.servers  # the xmlsec1 program

XPATH = (
    '<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
    "<ds:XPath>not(ancestor-or-self::ds:Signature)</ds:XPath></ds:Transform>"
)
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def refused(house: House, said: Said, change: Callable[[str], str] = lambda xml: xml) -> str:
    with pytest.raises(IdentityRefused) as raised:
        house.arrive(said, change)
    return raised.value.reason


@pytest.mark.parametrize("hidden", [False, True])
def test_t_32_an_unsigned_assertion_in_a_signed_response_is_refused(house: House, hidden: bool) -> None:
    assert refused(house, Said(sign_assertion=False, encrypt=hidden)) == "saml_unsigned"


@pytest.mark.parametrize("hidden", [False, True])
def test_t_32_a_signed_assertion_in_an_unsigned_response_is_refused(house: House, hidden: bool) -> None:
    assert refused(house, Said(sign_response=False, encrypt=hidden)) == "saml_unsigned"


def test_t_32_nothing_signed_is_refused(house: House) -> None:
    assert refused(house, Said(sign_response=False, sign_assertion=False)) == "saml_unsigned"


@pytest.mark.parametrize(
    ("method", "digest"),
    [
        ("http://www.w3.org/2000/09/xmldsig#rsa-sha1", SHA256),
        (RSA_SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"),
    ],
)
def test_t_32_sha_1_is_refused_though_it_is_really_signed(house: House, method: str, digest: str) -> None:
    assert refused(house, Said(method=method, digest=digest)) == "saml_algorithm"


def test_t_32_a_public_key_is_no_shared_secret(house: House, tmp_path: Path) -> None:
    secret = tmp_path / "public.bin"
    secret.write_bytes(pair("idp").certificate_pem)
    said = Said(method="http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", sign_response=False, sign_assertion=False)

    def forge(xml: str) -> str:
        forged = _with_signatures(xml, said).replace("alice", "admin")
        for node, id_ in (("assertion:Assertion", said.id), ("protocol:Response", said.response_id)):
            forged = _signed_with(forged, f"urn:oasis:names:tc:SAML:2.0:{node}", id_, "--hmackey", str(secret))
        return forged

    assert refused(house, said, forge) == "saml_algorithm"


def test_t_32_the_key_of_somebody_else_is_refused_though_the_message_brings_it(house: House) -> None:
    brought = pair("mallory").certificate_base64
    key = f"<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{brought}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
    said = Said(
        signer="mallory",
        person="admin",
        edit=lambda xml: xml.replace("</ds:SignatureValue>", f"</ds:SignatureValue>{key}"),
    )
    assert refused(house, said) == "saml_signature"


def test_t_32_what_was_changed_after_signing_is_refused(house: House) -> None:
    assert refused(house, Said(), lambda xml: xml.replace("alice", "admin")) == "saml_signature"


def test_t_32_a_changed_assertion_is_refused_though_the_response_is_signed_anew(house: House) -> None:
    departure = house.depart()
    said = Said(request=departure.kept["request"], sign_response=False)
    xml = said.signed().replace("alice", "admin")
    xml = xml.replace("<samlp:Status>", f"{signature(said.response_id)}<samlp:Status>", 1)
    from tests.idp_adapters.saml.house import RESPONSE, posted, sign

    with pytest.raises(IdentityRefused) as raised:
        house.adapter.arrive(posted(sign(xml, RESPONSE, said.response_id)), departure.kept)
    assert raised.value.reason == "saml_signature"


def test_t_32_a_signature_over_another_part_is_refused(house: House) -> None:
    other = new_id()
    decoy = f'<saml:Advice><saml:AssertionURIRef ID="{other}">x</saml:AssertionURIRef></saml:Advice>'

    def elsewhere(xml: str) -> str:
        found = assertion_in(xml)
        pointed = re.sub(r'URI="#[^"]+"', f'URI="#{other}"', found, count=1)
        return xml.replace(found, pointed.replace("<saml:AuthnStatement", f"{decoy}<saml:AuthnStatement"))

    assert refused(house, Said(), elsewhere) in {"saml_signature_elsewhere", "saml_signature"}


def test_t_32_the_empty_reference_which_is_the_whole_document_is_refused(house: House) -> None:
    assert refused(house, Said(), lambda xml: re.sub(r'URI="#[^"]+"', 'URI=""', xml)) in {
        "saml_signature_elsewhere",
        "saml_outside",
    }


def test_t_32_two_assertions_are_refused_though_both_are_signed(house: House) -> None:
    def doubled(xml: str) -> str:
        other = assertion_in(Said(person="admin", sign_response=False).signed())
        return xml.replace("</samlp:Response>", f"{other}</samlp:Response>")

    assert refused(house, Said(), doubled) == "saml_assertions"


def test_t_32_one_in_clear_and_one_encrypted_are_two(house: House) -> None:
    def doubled(xml: str) -> str:
        other = Said(person="admin", encrypt=True, sign_response=False).signed()
        box = other[other.index("<saml:EncryptedAssertion") : other.index("</samlp:Response>")]
        return xml.replace("</samlp:Response>", f"{box}</samlp:Response>")

    assert refused(house, Said(), doubled) == "saml_assertions"


@pytest.mark.parametrize("where", ["after", "at the end"])
def test_t_32_two_signatures_are_refused(house: House, where: str) -> None:
    def doubled(xml: str) -> str:
        first = re.search(r"<ds:Signature .*?</ds:Signature>", xml, re.DOTALL)
        assert first
        if where == "after":
            return xml.replace(first.group(), first.group() * 2, 1)
        return xml.replace("</samlp:Response>", f"{first.group()}</samlp:Response>")

    assert refused(house, Said(), doubled) == "saml_signatures"


def test_t_32_the_same_id_twice_is_refused(house: House) -> None:
    same = new_id()
    assert refused(house, Said(id=same, response_id=same, sign_assertion=False)) == "saml_id_twice"


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        (
            f'<ds:Transform Algorithm="{EXCLUSIVE}"/>',
            XPATH,
        ),
        (f'<ds:Transform Algorithm="{EXCLUSIVE}"/>', f'<ds:Transform Algorithm="{EXCLUSIVE}WithComments"/>'),
        (
            f'CanonicalizationMethod Algorithm="{EXCLUSIVE}"',
            'CanonicalizationMethod Algorithm="http://www.w3.org/TR/2001/REC-xml-c14n-20010315"',
        ),
    ],
    ids=["xpath", "with comments", "inclusive"],
)
def test_t_32_what_signatures_can_do_besides_is_refused(house: House, was: str, becomes: str) -> None:
    assert refused(house, Said(edit=lambda xml: xml.replace(was, becomes))) == "saml_algorithm"


def test_t_32_a_signature_with_an_object_in_it_is_refused(house: House) -> None:
    said = Said(edit=lambda xml: xml.replace("</ds:Signature>", "<ds:Object>x</ds:Object></ds:Signature>"))
    assert refused(house, said) == "saml_signature_form"


def _with_signatures(xml: str, said: Said) -> str:
    empty = signature(said.id, said.method)
    xml = xml.replace("<saml:Subject>", f"{empty}<saml:Subject>")
    return xml.replace("<samlp:Status>", f"{signature(said.response_id, said.method)}<samlp:Status>")


def _signed_with(xml: str, node: str, id_: str, *options: str) -> str:
    command = ["xmlsec1", "--sign", *options, "--id-attr:ID", node, "--node-id", id_, "/dev/stdin"]
    done = subprocess.run(command, input=xml.encode(), check=True, capture_output=True, timeout=30)
    return done.stdout.decode().removeprefix('<?xml version="1.0"?>\n').strip()
