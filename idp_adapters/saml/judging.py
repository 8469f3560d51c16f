"""What a verified assertion has to say before it counts (SAML profiles section 4.1.4.3, SAML core section 2.5).

Each check is one of those that libraries leave out or make optional; here absence refuses. The elements that come in
were parsed from the bytes that a signature covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from idp_adapters.saml.shape import ASSERTION, SAML, SAMLP, only, refused, text, unreadable
from idp_adapters.saml.times import instant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

LEEWAY = 60.0  # seconds by which clocks may differ
LONGEST = 86400.0  # an assertion that holds longer than this was not meant for a sign-in
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
_KNOWN_CONDITIONS = frozenset(f"{{{SAML}}}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What an answer has to be, to be one to us. `request` is empty where nothing was asked (RFC 7522)."""

    issuer: str
    audience: str
    recipient: str
    request: str
    now: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NameId:
    """Whom an assertion is about, as the provider names them."""

    value: str
    format: str
    name_qualifier: str = ""
    sp_name_qualifier: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """An assertion that holds. `until` is when nobody would believe it any more."""

    id: str
    until: float
    name_id: NameId
    authenticated_at: float
    acr: str
    session: str
    attributes: tuple[Element, ...]


def respond(response: Element, expected: Expected) -> None:
    """The answer around the assertion. Raises IdentityRefused."""
    if response.get("Version") != "2.0":
        raise refused("version", "the identity provider does not speak SAML 2.0")
    if response.get("Destination") != expected.recipient:
        raise refused("destination", "the answer of the identity provider is for another address than this one")
    if not expected.request or response.get("InResponseTo") != expected.request:
        raise refused("in_response_to", "this is not the answer to a sign-in that was begun here: please begin again")
    issued_by(response, expected.issuer)
    succeeded(response)


def succeeded(response: Element) -> None:
    """Whether anybody was signed in at all (SAML core section 3.2.2.2)."""
    status = only(response, f"{{{SAMLP}}}Status")
    code = None if status is None else only(status, f"{{{SAMLP}}}StatusCode")
    if code is None or code.get("Value") != SUCCESS:
        raise refused("status", "the identity provider did not sign you in")


def state(assertion: Element, expected: Expected) -> Statement:
    """What the assertion states, if it is for us, of now, and by whom it should be. Raises IdentityRefused."""
    if assertion.tag != ASSERTION or assertion.get("Version") != "2.0":
        raise refused("version", "the identity provider does not speak SAML 2.0")
    issued_by(assertion, expected.issuer)
    subject = _one(assertion, "Subject")
    until = _confirmed(subject, expected)
    _conditions(_one(assertion, "Conditions"), expected)
    authn = _one(assertion, "AuthnStatement")
    return Statement(
        id=assertion.get("ID", ""),
        until=until + LEEWAY,
        name_id=_name_id(subject, expected),
        authenticated_at=_authenticated(authn, expected.now),
        acr=_context(authn),
        session=authn.get("SessionIndex", ""),
        attributes=_attributes(assertion),
    )


def name_id_of(element: Element) -> NameId:
    return NameId(
        value=text(element),
        format=element.get("Format", ""),
        name_qualifier=element.get("NameQualifier", ""),
        sp_name_qualifier=element.get("SPNameQualifier", ""),
    )


def issued_by(element: Element, expected: str) -> None:
    issuer = _one(element, "Issuer")
    if text(issuer) != expected or issuer.get("Format", ENTITY) != ENTITY:
        raise refused("issuer", "the answer comes from another identity provider than the one that was asked")


def _one(parent: Element, name: str) -> Element:
    found = only(parent, f"{{{SAML}}}{name}")
    if found is None:
        raise refused(f"no_{name.lower()}", f"the identity provider's statement lacks what it must have: {name}")
    return found


def _confirmed(subject: Element, expected: Expected) -> float:
    """Until when the bearer may be the subject. One confirmation that fits is enough, as the profile has it."""
    problem = refused("confirmation", "the identity provider's statement does not say that its bearer is its subject")
    for confirmation in subject.iterfind(f"{{{SAML}}}SubjectConfirmation"):
        if confirmation.get("Method") == BEARER:
            data = _one(confirmation, "SubjectConfirmationData")
            reason, words = _mismatch(data, expected)
            if not reason:
                return instant(data.get("NotOnOrAfter", ""))
            problem = refused(reason, words)
    raise problem


def _mismatch(data: Element, expected: Expected) -> tuple[str, str]:
    """Why this confirmation is none of ours; empty when it is."""
    until = instant(data.get("NotOnOrAfter", ""))
    if data.get("Recipient") != expected.recipient:
        return "recipient", "the identity provider's statement is for another address than this one"
    if data.get("InResponseTo", "") != expected.request:
        return "in_response_to", "this is not the answer to a sign-in that was begun here: please begin again"
    if data.get("NotBefore") is not None:
        return "confirmation_not_before", "the identity provider's statement has a NotBefore where none may be"
    if until + LEEWAY <= expected.now:
        return "expired", "the identity provider's statement is too old: please begin again"
    if until > expected.now + LONGEST:
        return "too_long", "the identity provider's statement holds for longer than a day, which we do not accept"
    return "", ""


def _conditions(conditions: Element, expected: Expected) -> None:
    not_before, until = conditions.get("NotBefore"), conditions.get("NotOnOrAfter")
    if not_before is not None and instant(not_before) - LEEWAY > expected.now:
        raise refused("not_yet", "the identity provider's statement is not valid yet: do its clock and ours agree?")
    if until is not None and instant(until) + LEEWAY <= expected.now:
        raise refused("expired", "the identity provider's statement is too old: please begin again")
    if not {condition.tag for condition in conditions} <= _KNOWN_CONDITIONS:
        raise refused("condition", "the identity provider's statement has a condition that we do not know")
    restrictions = conditions.findall(f"{{{SAML}}}AudienceRestriction")
    if not restrictions or not all(expected.audience in _audiences(one) for one in restrictions):
        raise refused("audience", "the identity provider's statement is for somebody else than us")


def _audiences(restriction: Element) -> Iterator[str]:
    return (text(audience) for audience in restriction.iterfind(f"{{{SAML}}}Audience"))


def _name_id(subject: Element, expected: Expected) -> NameId:
    if subject.find(f"{{{SAML}}}EncryptedID") is not None:
        raise refused("encrypted_id", "the identity provider encrypts the NameID: encrypt the whole assertion instead")
    found = name_id_of(_one(subject, "NameID"))
    if not found.value or len(found.value) > 256:  # SAML core section 8.3.7
        raise refused("name_id", "the identity provider does not say who you are")
    # The same value with another qualifier is somebody else.
    if found.name_qualifier not in {"", expected.issuer} or found.sp_name_qualifier not in {"", expected.audience}:
        raise refused("qualifier", "the identity provider names you as somebody else's users are named")
    return found


def _authenticated(authn: Element, now: float) -> float:
    when, ends = instant(authn.get("AuthnInstant", "")), authn.get("SessionNotOnOrAfter")
    if when - LEEWAY > now:
        raise refused(
            "not_yet", "the identity provider says you signed in later than now: do its clock and ours agree?"
        )
    if ends is not None and instant(ends) + LEEWAY <= now:
        raise refused("expired", "your session at the identity provider has ended: please begin again")
    return min(when, now)


def _context(authn: Element) -> str:
    context = only(authn, f"{{{SAML}}}AuthnContext")
    return "" if context is None else text(only(context, f"{{{SAML}}}AuthnContextClassRef"))


def _attributes(assertion: Element) -> tuple[Element, ...]:
    statements = assertion.findall(f"{{{SAML}}}AttributeStatement")
    found = [child for statement in statements for child in statement]
    if any(child.tag != f"{{{SAML}}}Attribute" for child in found):
        # A group that cannot be read might be one that a rule denies.
        raise refused("attribute", "the identity provider encrypts attributes: encrypt the whole assertion instead")
    if any(child.get("Name") is None for child in found):
        raise unreadable("attribute")
    return tuple(found)
