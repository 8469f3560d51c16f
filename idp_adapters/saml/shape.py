"""Reading XML that strangers wrote, before anything of it is believed (SAML core, and security considerations of it).

Everything that two readers might read differently is refused here: document types, other encodings, an id twice, a
signature that is not the one of its parent, weak or unusual algorithms, more than one assertion. What is left is small
and has one meaning, so that the program that verifies and the code that reads see the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from idp_adapters.contract import IdentityRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
DSIG: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XINCLUDE: Final = "http://www.w3.org/2001/XInclude"

LARGEST = 256 * 1024  # bytes of a message
DEEPEST = 32
MOST_ELEMENTS = 8000

ASSERTION = f"{{{SAML}}}Assertion"
ENCRYPTED_ASSERTION = f"{{{SAML}}}EncryptedAssertion"
RESPONSE = f"{{{SAMLP}}}Response"
SIGNATURE = f"{{{DSIG}}}Signature"

# SHA-256 upwards; no HMAC, for which a public key would do as the secret, and no RSA with SHA-1 (T-32)
SIGNATURES = frozenset(
    {f"http://www.w3.org/2001/04/xmldsig-more#{key}-sha{bits}" for key in ("rsa", "ecdsa") for bits in (256, 384, 512)}
)
DIGESTS: Final = {
    f"{XENC}sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    f"{XENC}sha512": "sha512",
}
EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"  # without comments
ENVELOPED: Final = f"{DSIG}enveloped-signature"
# CBC only because the response around it is signed and has been verified by the time that it is opened
CIPHERS = frozenset({f"{XENC}aes{bits}-cbc" for bits in (128, 192, 256)}) | frozenset(
    {f"http://www.w3.org/2009/xmlenc11#aes{bits}-gcm" for bits in (128, 192, 256)}
)
KEY_TRANSPORTS = frozenset({f"{XENC}rsa-oaep-mgf1p", "http://www.w3.org/2009/xmlenc11#rsa-oaep"})  # PKCS 1.5: never

_ENCODING = re.compile(rb"""\A<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,255}")  # NCName without what nobody uses: it becomes an argument
_ID_NAMES = ("ID", "Id", "id", "{http://www.w3.org/XML/1998/namespace}id")


@dataclass(frozen=True, slots=True)
class Signed:
    """An element that says it is signed; nothing has been verified."""

    id: str
    tag: str  # in the form {namespace}name
    digest: str  # hashlib's name
    value: str  # what the digest should be, in base64


def refused(reason: str, words: str) -> IdentityRefused:
    return IdentityRefused(f"saml_{reason}", words)


def unreadable(reason: str) -> IdentityRefused:
    return refused(reason, "what the identity provider sent is not a SAML message that we can read")


def parse(raw: bytes, largest: int = LARGEST) -> Element:
    """The document, if it is small, plain UTF-8 and free of everything that fetches or expands (T-33)."""
    if len(raw) > largest:
        raise unreadable("too_large")
    declared = _ENCODING.match(raw)
    if declared and declared.group(1).lower() not in {b"utf-8", b"utf8"}:
        raise unreadable("encoding")
    try:
        text = raw.decode("utf-8")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise unreadable("doctype")
        root: Element = fromstring(raw, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except DefusedXmlException as error:
        raise unreadable("doctype") from error
    except (ParseError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise unreadable("not_xml") from error
    return root


def read(raw: bytes) -> Element:
    """A message or an assertion whose every part is where it belongs; its signatures are still to be verified."""
    root = parse(raw)
    _bound(root)
    _unique_ids(root)
    signed = {id(signature): parent for parent, signature in _signatures(root)}
    if len(signed) != sum(1 for _ in root.iter(SIGNATURE)) or len({id(p) for p in signed.values()}) != len(signed):
        raise refused("signatures", "the message is signed in a way that can be misread")
    if len(list(root.iter(ASSERTION))) + len(list(root.iter(f"{{{XENC}}}EncryptedData"))) > 1:
        raise refused("assertions", "the message holds more than one assertion")
    _allowed_ciphers(root)
    _nothing_outside(root)
    return root


def signature_of(element: Element) -> Signed:
    """What the element's own signature says. Raises IdentityRefused when it has none, or a wrong kind of one."""
    signature = element.find(SIGNATURE)
    if signature is None:
        raise refused("unsigned", "a part of the message is not signed: response and assertion both have to be")
    return _judge(element, signature)


def only(element: Element, tag: str) -> Element | None:
    """The one child with this tag, or None; twice is refused."""
    found = element.findall(tag)
    if len(found) > 1:
        raise refused("twice", "the message has something twice that there is one of")
    return found[0] if found else None


def text(element: Element | None) -> str:
    """What stands in an element without children, without the space around it."""
    if element is None:
        return ""
    if len(element):
        raise unreadable("mixed")
    return (element.text or "").strip()


def _bound(root: Element) -> None:
    """No recursion: the depth is what is being bounded."""
    level, depth, count = [root], 0, 0
    while level:
        depth += 1
        count += len(level)
        if depth > DEEPEST or count > MOST_ELEMENTS:
            raise unreadable("too_deep")
        if any(element.tag.startswith(f"{{{XINCLUDE}}}") for element in level):
            raise unreadable("xinclude")
        level = [child for element in level for child in element]


def _unique_ids(root: Element) -> None:
    ids = [value for element in root.iter() for name in _ID_NAMES if (value := element.get(name)) is not None]
    if len(ids) != len(set(ids)):
        raise refused("id_twice", "an id occurs twice in the message")


def _signatures(root: Element) -> Iterator[tuple[Element, Element]]:
    """Signatures where the SAML schema has them: the second child, after the Issuer, of a message or an assertion."""
    for element in root.iter():
        if element is root or element.tag == ASSERTION:
            children = list(element)
            if len(children) > 1 and children[1].tag == SIGNATURE and children[0].tag == f"{{{SAML}}}Issuer":
                yield element, children[1]


def _judge(element: Element, signature: Element) -> Signed:
    """SAML core section 5.4: one reference, to the parent; and of all that XML signatures can do, nothing unusual."""
    info = only(signature, f"{{{DSIG}}}SignedInfo")
    reference = None if info is None else only(info, f"{{{DSIG}}}Reference")
    if info is None or reference is None or signature.find(f"{{{DSIG}}}Object") is not None:
        raise refused("signature_form", "the message is signed in an unusual way, which we do not accept")
    id_ = element.get("ID", "")
    if not _ID.fullmatch(id_) or reference.get("URI") != f"#{id_}":
        raise refused("signature_elsewhere", "a signature in the message is for another part than the one it is in")
    _allowed_algorithms(info, reference)
    digest = _algorithm(reference, "DigestMethod")
    return Signed(id_, element.tag, DIGESTS[digest], text(only(reference, f"{{{DSIG}}}DigestValue")))


def _allowed_algorithms(info: Element, reference: Element) -> None:
    transforms = [step.get("Algorithm") for step in reference.iterfind(f"{{{DSIG}}}Transforms/{{{DSIG}}}Transform")]
    if (
        _algorithm(info, "SignatureMethod") not in SIGNATURES
        or _algorithm(info, "CanonicalizationMethod") != EXCLUSIVE
        or _algorithm(reference, "DigestMethod") not in DIGESTS
        or transforms != [ENVELOPED, EXCLUSIVE]
    ):
        raise refused("algorithm", "the message is signed with an algorithm that we do not accept: SHA-256 or better")


def _algorithm(parent: Element, name: str) -> str:
    found = only(parent, f"{{{DSIG}}}{name}")
    return "" if found is None else found.get("Algorithm", "")


def _allowed_ciphers(root: Element) -> None:
    for data in root.iter(f"{{{XENC}}}EncryptedData"):
        _one_of(data, CIPHERS)
    for key in root.iter(f"{{{XENC}}}EncryptedKey"):
        _one_of(key, KEY_TRANSPORTS)


def _nothing_outside(root: Element) -> None:
    """Keys, ciphertext and what is signed are in the message itself, never at an address that it names."""
    for element in root.iter():
        if element.tag.startswith((f"{{{DSIG}}}", f"{{{XENC}}}")) and not element.get("URI", "#").startswith("#"):
            raise refused("outside", "the message points to something outside of itself")


def _one_of(encrypted: Element, allowed: frozenset[str]) -> None:
    method = only(encrypted, f"{{{XENC}}}EncryptionMethod")
    if method is None or method.get("Algorithm") not in allowed:
        raise refused("cipher", "the assertion is encrypted with an algorithm that we do not accept")
