"""A SAML identity provider with a key of its own, that signs whatever it is told to; nothing of it is our own code.

It writes XML as text and has the xmlsec1 program sign it, so that what is tampered with before signing is signed for
real, and what is tampered with afterwards is changed byte by byte.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import secrets
import subprocess
import tempfile
import zlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idp_adapters.contract import Arrival
from idp_adapters.saml.keys import generate
from idp_adapters.saml.provider import SamlProvider
from tests.idp_adapters.equipment import BASE_URL, equipment

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_adapters.contract import Departure, Equipment

ISSUER = "https://idp.example/saml2"
SSO, SLO = "https://idp.example/sso", "https://idp.example/slo"
US = f"{BASE_URL}/signin/corp"
ACS, SP_ENTITY, LOGOUT = f"{US}/callback", f"{US}/metadata", f"{US}/logout"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion:Assertion"
RESPONSE = "urn:oasis:names:tc:SAML:2.0:protocol:Response"


@dataclass(frozen=True)
class Pair:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        form = serialization.PrivateFormat.TraditionalOpenSSL
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate_base64(self) -> str:
        return base64.b64encode(self.certificate.public_bytes(serialization.Encoding.DER)).decode()


@cache
def pair(name: str) -> Pair:
    """The same for the same name, within a process: keys take a while."""
    if name.startswith("ec"):
        return _on_a_curve(name)
    secret = generate(name)
    key = serialization.load_pem_private_key(secret, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Pair(key, x509.load_pem_x509_certificate(secret))


def _on_a_curve(name: str) -> Pair:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    described = x509.CertificateBuilder().subject_name(called).issuer_name(called).serial_number(1)
    lasting = described.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return Pair(key, lasting.public_key(key.public_key()).sign(key, hashes.SHA256()))


@cache
def sp_secret() -> bytes:
    return generate("corp")


def at(seconds: float) -> str:
    """An instant so many seconds from now."""
    return (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id() -> str:
    return f"_{secrets.token_hex(16)}"


def signature(id_: str, method: str = RSA_SHA256, digest: str = SHA256) -> str:
    """An empty one, for xmlsec1 to fill in."""
    return (
        '<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo>'
        '<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/>'
        f'<ds:SignatureMethod Algorithm="{method}"/><ds:Reference URI="#{id_}"><ds:Transforms>'
        '<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>'
        '<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="{digest}"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>'
        "<ds:SignatureValue></ds:SignatureValue></ds:Signature>"
    )


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer before it is signed. A test changes what it wants with `but`; `edit` has the whole text in hand."""

    request: str = ""
    person: str = "alice"
    groups: tuple[str, ...] = ("devs", "eng")
    issuer: str = ISSUER
    response_issuer: str = ISSUER
    destination: str = ACS
    recipient: str = ACS
    audience: str = SP_ENTITY
    confirmed_request: str | None = None  # as `request` unless said
    not_before: str = field(default_factory=lambda: at(-30))
    until: str = field(default_factory=lambda: at(300))
    confirmed_until: str = field(default_factory=lambda: at(300))
    version: str = "2.0"
    format: str = PERSISTENT
    status: str = "urn:oasis:names:tc:SAML:2.0:status:Success"
    acr: str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
    id: str = field(default_factory=new_id)
    response_id: str = field(default_factory=new_id)
    method: str = RSA_SHA256
    digest: str = SHA256
    sign_assertion: bool = True
    sign_response: bool = True
    encrypt: bool = False
    signer: str = "idp"
    edit: Callable[[str], str] = lambda xml: xml  # before anything is signed

    def but(self, **changes: Any) -> Said:
        return replace(self, **changes)

    def attributes(self) -> str:
        groups = "".join(f"<saml:AttributeValue>{group}</saml:AttributeValue>" for group in self.groups)
        return (
            f'<saml:Attribute Name="uid"><saml:AttributeValue>{self.person}</saml:AttributeValue></saml:Attribute>'
            f'<saml:Attribute Name="mail"><saml:AttributeValue>{self.person}@lab.test</saml:AttributeValue>'
            f'</saml:Attribute><saml:Attribute Name="groups">{groups}</saml:Attribute>'
        )

    def assertion(self) -> str:
        request = self.request if self.confirmed_request is None else self.confirmed_request
        answering = f' InResponseTo="{request}"' if request else ""
        return (
            f'<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{self.id}" '
            f'Version="{self.version}" IssueInstant="{at(0)}"><saml:Issuer>{self.issuer}</saml:Issuer>'
            f"{signature(self.id, self.method, self.digest) if self.sign_assertion else ''}"
            f'<saml:Subject><saml:NameID Format="{self.format}">{self.person}-for-good</saml:NameID>'
            '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData '
            f'NotOnOrAfter="{self.confirmed_until}" Recipient="{self.recipient}"{answering}/>'
            f'</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{self.not_before}" '
            f'NotOnOrAfter="{self.until}"><saml:AudienceRestriction><saml:Audience>{self.audience}</saml:Audience>'
            f'</saml:AudienceRestriction></saml:Conditions><saml:AuthnStatement AuthnInstant="{at(-60)}" '
            f'SessionIndex="session-of-{self.person}"><saml:AuthnContext><saml:AuthnContextClassRef>{self.acr}'
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
            f"{self.attributes()}</saml:AttributeStatement></saml:Assertion>"
        )

    def response(self) -> str:
        return (
            '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
            'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
            f'ID="{self.response_id}" Version="{self.version}" IssueInstant="{at(0)}" '
            f'Destination="{self.destination}" InResponseTo="{self.request}">'
            f"<saml:Issuer>{self.response_issuer}</saml:Issuer>"
            f"{signature(self.response_id, self.method, self.digest) if self.sign_response else ''}"
            f'<samlp:Status><samlp:StatusCode Value="{self.status}"/></samlp:Status>{self.assertion()}</samlp:Response>'
        )

    def signed_assertion(self) -> str:
        """The assertion alone, as a client takes it to a token endpoint."""
        return sign(self.edit(self.assertion()), ASSERTION, self.id, self.signer)

    def signed(self) -> str:
        """The whole answer: the assertion signed, then encrypted, then the response signed."""
        xml = self.edit(self.response())
        if self.sign_assertion:
            xml = sign(xml, ASSERTION, self.id, self.signer)
        if self.encrypt:
            xml = encrypted(xml)
        return sign(xml, RESPONSE, self.response_id, self.signer) if self.sign_response else xml


def sign(xml: str, node: str, id_: str, signer: str = "idp", *options: str) -> str:
    with tempfile.TemporaryDirectory() as place:
        key, document = Path(place, "key.pem"), Path(place, "document.xml")
        key.write_bytes(pair(signer).key_pem)
        document.write_text(xml)
        with_key = options or ("--privkey-pem", str(key))
        command = ["xmlsec1", "--sign", *with_key, "--id-attr:ID", node, "--node-id", id_, str(document)]
        done = subprocess.run(command, check=True, capture_output=True, timeout=30)
    return done.stdout.decode().removeprefix('<?xml version="1.0"?>\n').strip()


def assertion_in(xml: str) -> str:
    """The bytes of the first assertion."""
    return xml[xml.index("<saml:Assertion") : xml.index("</saml:Assertion>") + len("</saml:Assertion>")]


def encrypted(xml: str, clear: str = "") -> str:
    """The assertion, or `clear`, encrypted for us: AES-256-GCM, its key with RSA-OAEP (XML Encryption 1.1)."""
    clear = clear or assertion_in(xml)
    key, nonce = AESGCM.generate_key(256), os.urandom(12)
    certificate = x509.load_pem_x509_certificate(sp_secret())
    ours = certificate.public_key()
    assert isinstance(ours, rsa.RSAPublicKey)
    wrapped = ours.encrypt(key, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
    data = base64.b64encode(nonce + AESGCM(key).encrypt(nonce, clear.encode(), None)).decode()
    box = (
        '<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" '
        'Type="http://www.w3.org/2001/04/xmlenc#Element">'
        '<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>'
        '<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>'
        '<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>'
        f"<xenc:CipherData><xenc:CipherValue>{base64.b64encode(wrapped).decode()}</xenc:CipherValue></xenc:CipherData>"
        f"</xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>{data}</xenc:CipherValue>"
        "</xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>"
    )
    return xml.replace(clear, box)


def idp_metadata(entity_id: str = ISSUER, *, signer: str = "idp", more: str = "", slo: bool = True) -> str:
    logout = f'<SingleLogoutService Binding="{REDIRECT}" Location="{SLO}"/>' if slo else ""
    return (
        f'<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" ID="_metadata" entityID="{entity_id}"{more}>'
        '<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">'
        '<KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data>'
        f"<ds:X509Certificate>{pair(signer).certificate_base64}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
        f'</KeyDescriptor>{logout}<SingleSignOnService Binding="{REDIRECT}" Location="{SSO}"/>'
        "</IDPSSODescriptor></EntityDescriptor>"
    )


REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


class House:
    """Our adapter, with that provider's metadata in a file."""

    kind = "saml"

    def __init__(self, place: Path, equipped: Equipment | None = None, **options: Any) -> None:
        self.file = place / "idp.xml"
        if not self.file.exists():
            self.file.write_text(idp_metadata())
        self.config = {"entity_id": ISSUER, "metadata_file": str(self.file), **options}
        self.equipment = equipped or equipment(secrets={"sp_key": sp_secret()})
        self.adapter = self.opened(self.config)

    def opened(self, config: dict[str, Any]) -> SamlProvider:
        from idp_adapters.saml.config import SamlConfig

        return SamlProvider(SamlConfig.model_validate(config), self.equipment)

    def down(self) -> SamlProvider:
        return self.opened(self.config | {"metadata_file": str(self.file.parent / "nobody-wrote-it.xml")})

    def depart(self) -> Departure:
        return self.adapter.depart(ACS, "state")

    def answer(self, departure: Departure, person: str = "alice") -> Arrival:
        return posted(Said(request=departure.kept["request"], person=person).signed())

    def remove(self, person: str) -> None:
        pytest.fail("SAML has no way to ask about somebody")

    def arrive(self, said: Said, change: Callable[[str], str] = lambda xml: xml) -> Any:
        """A whole sign-in: `said` answers the request, and `change` is what happens to it on the way."""
        departure = self.depart()
        request = departure.kept["request"]
        arrival = posted(change(said.but(request=said.request or request).signed()))
        return self.adapter.arrive(arrival, departure.kept)


def posted(xml: str | bytes, url: str = ACS) -> Arrival:
    raw = xml.encode() if isinstance(xml, str) else xml
    form = {"SAMLResponse": base64.b64encode(raw).decode(), "RelayState": "state"}
    return Arrival(method="POST", url=url, parameters=form)


def redirected(name: str, xml: str, signer: str = "idp", algorithm: str = RSA_SHA256, state: str = "") -> Arrival:
    """A message by redirect, signed."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = base64.b64encode(deflate.compress(xml.encode()) + deflate.flush()).decode()
    query = f"{name}={quote_plus(packed)}" + (f"&RelayState={quote_plus(state)}" if state else "")
    query += f"&SigAlg={quote_plus(algorithm)}"
    made = _made(pair(signer), query.encode())
    return landed(f"{LOGOUT}?{query}&Signature={quote_plus(base64.b64encode(made).decode())}")


def _made(with_: Pair, signed: bytes) -> bytes:
    if isinstance(with_.key, rsa.RSAPrivateKey):
        return with_.key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(with_.key.sign(signed, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def landed(url: str) -> Arrival:
    """The browser at an address of ours, with a query."""
    base, _, query = url.partition("?")
    parameters = {name: values[0] for name, values in parse_qs(query).items()}
    return Arrival(method="GET", url=base, query=query, parameters=parameters)


def message_in(url: str, name: str) -> str:
    """The message that a redirect carries."""
    packed = parse_qs(urlsplit(url).query)[name][0]
    return zlib.decompress(base64.b64decode(packed), -15).decode()


def logout_request(person: str = "alice", **changes: str) -> str:
    said = {
        "issuer": ISSUER,
        "destination": LOGOUT,
        "until": at(300),
        "id": new_id(),
        "sessions": f"<samlp:SessionIndex>session-of-{person}</samlp:SessionIndex>",
    } | changes
    return (
        '<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
        'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
        f'ID="{said["id"]}" Version="2.0" IssueInstant="{at(0)}" NotOnOrAfter="{said["until"]}" '
        f'Destination="{said["destination"]}"><saml:Issuer>{said["issuer"]}</saml:Issuer>'
        f'<saml:NameID Format="{PERSISTENT}">{person}-for-good</saml:NameID>{said["sessions"]}</samlp:LogoutRequest>'
    )
