"""SAML 2.0: the web browser SSO profile with everything signed, single logout, and assertions for token exchange.

pysaml2 gives the vocabulary, xmlsec1 the signatures; what is believed is decided in `shape` (before anything is
verified), `judging` and `people` (only from bytes that a signature covers). Response and assertion both have to
be signed, with no way to relax it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from idp_adapters.contract import Departure, Ended, IdentityRefused
from idp_adapters.saml import checking, judging, messages, people, redirect, shape, xmlsec
from idp_adapters.saml.idp import MetadataSource
from idp_adapters.saml.judging import LEEWAY, Expected
from idp_adapters.saml.keys import read as read_key
from idp_adapters.saml.shape import ASSERTION, ENCRYPTED_ASSERTION, LARGEST, RESPONSE, SAML, SAMLP, refused, unreadable
from idp_adapters.saml.times import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from cryptography.x509 import Certificate

    from idp_adapters.contract import Arrival, Equipment, ExternalIdentity, Finding
    from idp_adapters.saml.config import SamlConfig
    from idp_adapters.saml.judging import Statement
    from idp_adapters.saml.keys import SpKey

SAML2_TOKEN: Final = "urn:ietf:params:oauth:token-type:saml2"  # noqa: S105 - RFC 8693 section 3
REQUEST_LIFE = 3600.0  # how long an answered request is remembered as answered


class SamlProvider:
    """One provider; `Redirecting`, `LoggingOut`, `Publishing` and `Vouching`. Safe to share between threads."""

    subject_token_type: str = SAML2_TOKEN
    media_type: str = "application/samlmetadata+xml"

    def __init__(self, config: SamlConfig, equipment: Equipment) -> None:
        self._config = config
        self._equipment = equipment
        self._source = MetadataSource(config, equipment)
        self._published: tuple[Certificate | None, bytes] = (None, b"")
        place = f"{equipment.base_url.rstrip('/')}/signin/{equipment.slug}"
        self._us, self._callback, self._logout = f"{place}/metadata", f"{place}/callback", f"{place}/logout"

    def check(self) -> Iterator[Finding]:
        return checking.walk(self._config, self._equipment, self._source, self._us)

    def metadata(self) -> bytes:
        """Signed once for each key: anybody may ask for it, as often as they like."""
        key, (named, document) = self._key(), self._published
        if key.certificate != named:
            document = messages.metadata(us=self._us, callback=self._callback, logout=self._logout, key=key)
            self._published = (key.certificate, document)
        return document

    def depart(self, callback: str, state: str, *, again: bool = False) -> Departure:
        """A signed AuthnRequest; the answer comes by POST."""
        idp, id_ = self._source.current(), messages.new_id()
        message = messages.authn_request(
            id_=id_,
            us=self._us,
            destination=idp.sso,
            callback=callback,
            persistent=not self._config.subject_attribute,
            contexts=self._config.authn_contexts,
            again=again,
            now=self._equipment.now(),
        )
        address = redirect.address(idp.sso, "SAMLRequest", message, state, self._key().private)
        return Departure(url=address, kept={"request": id_})

    def arrive(self, arrival: Arrival, kept: Mapping[str, str]) -> ExternalIdentity:
        """The answer, once: neither its request nor its assertion counts a second time, in any process (T-34)."""
        if arrival.method != "POST":
            raise unreadable("binding")
        expected = self._expected(self._us, arrival.url, kept.get("request", ""))
        statement = self._statement(_decoded(arrival.parameters.get("SAMLResponse", "")), expected)
        identity = people.identify(statement, self._config)
        self._once(f"request {expected.request}", expected.now + REQUEST_LIFE)
        self._once(f"assertion {statement.id}", statement.until)
        return identity

    def answers_for(self, issuer: str) -> bool:
        return issuer == self._config.entity_id

    def vouch(self, credential: str, audience: str, recipient: str) -> ExternalIdentity:
        """An assertion that a client brings to our token endpoint (RFC 7522 section 3), once; nothing else serves."""
        raw = _decoded_url(credential)
        root = shape.read(raw)
        if root.tag != ASSERTION:
            raise refused("not_an_assertion", "a SAML subject token is one assertion, signed, in base64url")
        statement = judging.state(self._verified(raw, root), self._expected(audience, recipient, ""))
        identity = people.identify(statement, self._config)
        self._once(f"assertion {statement.id}", statement.until)
        return identity

    def leave(self, keep: bytes, back: str, state: str) -> Departure | None:  # noqa: ARG002 - SAML has no place for `back`
        """A signed LogoutRequest. The provider sends the browser to our logout address, with `state`."""
        idp, kept = self._source.current(), people.kept(keep)
        if not idp.slo:
            return None
        message = messages.logout_request(
            us=self._us, destination=idp.slo, name_id=kept.name_id, session=kept.session, now=self._equipment.now()
        )
        return Departure(url=redirect.address(idp.slo, "SAMLRequest", message, state, self._key().private))

    def hear(self, arrival: Arrival) -> Ended | None:
        """A signed LogoutRequest of the provider, or its signed answer to ours (None)."""
        name = "SAMLRequest" if "SAMLRequest" in arrival.parameters else "SAMLResponse"
        if arrival.method != "GET":
            raise unreadable("binding")
        message = self._heard(arrival.query, name)
        if message.get("Destination") != self._logout:
            raise refused("destination", "the message of the identity provider is for another address than this one")
        judging.issued_by(message, self._config.entity_id)
        if name == "SAMLResponse":
            return None
        return replace(self._ended(message), answer=self._answer(message, arrival))

    def _heard(self, query: str, name: str) -> Element:
        raw = self._proved(lambda certificates: redirect.signed_message(query, name, certificates))
        message = shape.read(raw)
        kind = "LogoutRequest" if name == "SAMLRequest" else "LogoutResponse"
        if message.tag != f"{{{SAMLP}}}{kind}":
            raise unreadable("kind")
        return message

    def _ended(self, request: Element) -> Ended:
        """Several sessions at once are all of the person's: too many rather than too few."""
        until = request.get("NotOnOrAfter")
        now = self._equipment.now()
        if until is not None and instant(until) + LEEWAY <= now:
            raise refused("expired", "the identity provider's request is too old")
        self._once(f"logout {request.get('ID', '')}", now + REQUEST_LIFE)
        name_id = shape.only(request, f"{{{SAML}}}NameID")
        sessions = [shape.text(one) for one in request.iterfind(f"{{{SAMLP}}}SessionIndex")]
        subject = "" if self._config.subject_attribute else shape.text(name_id)
        session = sessions[0] if len(sessions) == 1 else ""
        if not subject and not session:
            raise refused("name_id", "the identity provider's request does not say whose session ends")
        return Ended(issuer=self._config.entity_id, subject=subject, session=session)

    def _answer(self, request: Element, arrival: Arrival) -> Departure | None:
        where = self._source.current().slo_answers
        if not where:
            return None
        message = messages.logout_response(
            us=self._us, destination=where, request=request.get("ID", ""), now=self._equipment.now()
        )
        state = arrival.parameters.get("RelayState", "")
        return Departure(url=redirect.address(where, "SAMLResponse", message, state, self._key().private))

    def _statement(self, raw: bytes, expected: Expected) -> Statement:
        """Verify the response, only then open what is encrypted, verify the assertion, and read what was verified."""
        root = shape.read(raw)
        if root.tag != RESPONSE:
            raise unreadable("kind")
        judging.succeeded(root)
        judging.respond(self._verified(raw, root), expected)
        if root.find(ENCRYPTED_ASSERTION) is not None:
            raw = xmlsec.decrypt(raw, self._key().pem)
            root = shape.read(raw)
        return judging.state(self._verified(raw, _assertion(root)), expected)

    def _verified(self, raw: bytes, element: Element) -> Element:
        """The element again, from the bytes that its signature covers: the same one, of all that there may be."""
        signed = shape.signature_of(element)
        covered = self._proved(lambda certificates: xmlsec.verify(raw, signed, certificates))
        found = shape.parse(covered)
        if (found.tag, found.get("ID")) != (signed.tag, signed.id):
            raise refused("signature_elsewhere", "a signature in the message is for another part than the one it is in")
        return found

    def _proved(self, verify: Callable[[Sequence[bytes]], bytes]) -> bytes:
        """With the provider's keys; with those that it has by now, should the ones we know not fit."""
        idp = self._source.current()
        try:
            return verify(idp.certificates)
        except IdentityRefused:
            other = self._source.after_a_failure(idp)
            if other is None:
                raise
        return verify(other.certificates)

    def _expected(self, audience: str, recipient: str, request: str) -> Expected:
        now = self._equipment.now()
        return Expected(issuer=self._config.entity_id, audience=audience, recipient=recipient, request=request, now=now)

    def _once(self, key: str, until: float) -> None:
        if not self._equipment.once(f"saml {self._config.entity_id} {key}", until):
            raise refused("replay", "this answer of the identity provider has been used already: please begin again")

    def _key(self) -> SpKey:
        return read_key(self._equipment.secret("sp_key"))


def _assertion(root: Element) -> Element:
    holder = shape.only(root, ENCRYPTED_ASSERTION)
    found = shape.only(root if holder is None else holder, ASSERTION)
    if found is None:
        raise refused("no_assertion", "the identity provider did not say who you are")
    return found


def _decoded(value: str) -> bytes:
    """The POST binding's base64, in lines as some write it (SAML bindings section 3.5.4)."""
    if len(value) > LARGEST * 3 // 2:
        raise unreadable("too_large")
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable("base64") from error


def _decoded_url(value: str) -> bytes:
    """RFC 7522 section 2.1: base64url, without padding as a rule."""
    if len(value) > LARGEST * 3 // 2 or not set(value) <= _URL_SAFE:
        raise unreadable("base64")
    try:
        return base64.urlsafe_b64decode(value.rstrip("=") + "=" * (-len(value.rstrip("=")) % 4))
    except (binascii.Error, ValueError) as error:
        raise unreadable("base64") from error


_URL_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=")
