"""What a SAML identity provider says about itself: its metadata (SAML metadata, section 2), fetched again and again."""

from __future__ import annotations

import base64
import binascii
import threading
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from idp_adapters.contract import IdentityRefused, ProviderDown
from idp_adapters.saml import xmlsec
from idp_adapters.saml.keys import SMALLEST_RSA
from idp_adapters.saml.shape import DSIG, SIGNATURE, parse, signature_of, text
from idp_adapters.saml.times import instant

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

    from idp_adapters.contract import Equipment
    from idp_adapters.saml.config import SamlConfig

MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
SAML2: Final = "urn:oasis:names:tc:SAML:2.0:protocol"

LARGEST = 1024 * 1024  # of one provider; a whole federation's document is not for us
TIMEOUT = 5.0
AGAIN = 60.0  # between two attempts to fetch what could not be fetched, or did not help
SOON = 5.0  # the same while there is none at all
STALE = 7 * 86400.0  # how long the last good metadata serves while no new one can be had


@dataclass(frozen=True, slots=True, kw_only=True)
class IdpMetadata:
    """`certificates` (PEM) are the ones it signs with. `slo` is empty where it has no single logout by redirect."""

    entity_id: str
    certificates: tuple[bytes, ...]
    sso: str
    slo: str
    slo_answers: str  # where answers to its own logout requests go
    valid_until: float | None


class MetadataSource:
    """The current metadata of one provider; the last good one while it cannot be fetched. Safe between threads."""

    def __init__(self, config: SamlConfig, equipment: Equipment) -> None:
        self._config = config
        self._equipment = equipment
        self._lock = threading.Lock()
        self._good: IdpMetadata | None = None
        self._read_at = self._tried_at = float("-inf")
        self.ahead = 0.0

    def current(self) -> IdpMetadata:
        """Raises ProviderDown when there is none, or only one that is too old."""
        with self._lock:
            return self._renewed(self._config.metadata_refresh)

    def after_a_failure(self, seen: IdpMetadata) -> IdpMetadata | None:
        """Other metadata than `seen`, if there is some: the provider may have changed its key since."""
        with self._lock:
            now = self._renewed(AGAIN)
        return now if now.certificates != seen.certificates else None

    def fetch(self) -> bytes:
        """The document as it is now, unread. `ahead` is by how much our clock is, where the answer had a time."""
        if self._config.metadata_file is not None:
            return _file(self._config.metadata_file)
        answer = self._equipment.http.send("GET", self._config.metadata_url, limit=LARGEST, timeout=TIMEOUT)
        if answer.status != 200:
            raise _down("fetch", f"the address of the provider's metadata answers with status {answer.status}")
        self.ahead = _ahead(answer.headers.get("date", ""), self._equipment.now())
        return answer.body

    def judge(self, document: bytes) -> IdpMetadata:
        """What the document says of our provider. Raises ProviderDown."""
        if self._config.metadata_certificate is not None:
            document = _vouched(document, _file(self._config.metadata_certificate))
        try:
            found = _read(document, self._config.entity_id)
        except IdentityRefused as refused:
            raise _unreadable() from refused
        if found.valid_until is not None and found.valid_until <= self._equipment.now():
            raise _down("expired", "the provider's metadata says that it is no longer valid")
        return found

    def _renewed(self, oldest: float) -> IdpMetadata:
        now = self._equipment.now()
        pause = SOON if self._good is None else AGAIN
        if now - self._read_at > oldest and now - self._tried_at > pause:
            self._tried_at = now
            try:
                self._good, self._read_at = self.judge(self.fetch()), now
            except ProviderDown:
                if not self._serves(now):
                    raise
        if self._good is None or not self._serves(now):
            raise _down("none", "the provider's metadata could not be had a moment ago")
        return self._good

    def _serves(self, now: float) -> bool:
        good = self._good
        return good is not None and now - self._read_at < STALE and (good.valid_until is None or now < good.valid_until)


def _ahead(date: str, now: float) -> float:
    try:
        return now - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return 0.0


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _down("file", f"the file {path} cannot be read: {error.strerror}") from error


def _vouched(document: bytes, certificate: bytes) -> bytes:
    """The bytes that the pinned certificate's key signed: of a document that begins with its signature."""
    root = _parsed(document)
    if not len(root) or root[0].tag != SIGNATURE:
        raise _down("unsigned", "the provider's metadata is not signed, and metadata_certificate wants it to be")
    try:
        return xmlsec.verify(document, signature_of(root), [certificate])
    except IdentityRefused as refused:
        words = "the provider's metadata is not signed by the key of metadata_certificate, or not with SHA-256"
        raise _down("signature", words) from refused


def _parsed(document: bytes) -> Element:
    try:
        return parse(document, LARGEST)
    except IdentityRefused as refused:
        raise _unreadable() from refused


def _read(document: bytes, entity_id: str) -> IdpMetadata:
    root = _parsed(document)
    entities = [entity for entity in root.iter(f"{{{MD}}}EntityDescriptor") if entity.get("entityID") == entity_id]
    if len(entities) != 1:
        raise _down("entity", _found_instead(root))
    roles = [role for role in entities[0].iterfind(f"{{{MD}}}IDPSSODescriptor") if _speaks_saml2(role)]
    if len(roles) != 1:
        raise _down("role", "the metadata is not that of one SAML 2.0 identity provider (IDPSSODescriptor)")
    role = roles[0]
    slo, answers = _endpoint(role, "SingleLogoutService")
    return IdpMetadata(
        entity_id=entity_id,
        certificates=_certificates(role),
        sso=_sign_on(role),
        slo=slo,
        slo_answers=answers,
        valid_until=_earliest(root, entities[0], role),
    )


def _found_instead(root: Element) -> str:
    names = [entity.get("entityID", "")[:200] for entity in root.iter(f"{{{MD}}}EntityDescriptor")][:3]
    instead = f"it has {', '.join(names)}" if names else "it has none"
    return f"the provider's metadata has no entity with the configured entity_id: {instead}"


def _speaks_saml2(role: Element) -> bool:
    return SAML2 in role.get("protocolSupportEnumeration", "").split()


def _sign_on(role: Element) -> str:
    location, _ = _endpoint(role, "SingleSignOnService")
    if not location:
        raise _down("binding", "the provider's metadata has no SingleSignOnService with the HTTP-Redirect binding")
    return location


def _endpoint(role: Element, name: str) -> tuple[str, str]:
    """Where to send, and where to answer to."""
    for endpoint in role.iterfind(f"{{{MD}}}{name}"):
        location = endpoint.get("Location", "")
        if endpoint.get("Binding") == REDIRECT and location.startswith(("https://", "http://")):
            return location, endpoint.get("ResponseLocation", location)
    return "", ""


def _certificates(role: Element) -> tuple[bytes, ...]:
    found = [
        _certificate(text(node))
        for described in role.iterfind(f"{{{MD}}}KeyDescriptor")
        if described.get("use", "signing") == "signing"
        for node in described.iter(f"{{{DSIG}}}X509Certificate")
    ]
    if not found:
        raise _down("keys", "the provider's metadata has no certificate that it signs with")
    return tuple(dict.fromkeys(found))[:8]


def _certificate(encoded: str) -> bytes:
    """As PEM. Nobody asks who issued it or when it ends: the metadata vouches for the key."""
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode("".join(encoded.split()), validate=True))
        key = certificate.public_key()
    except (binascii.Error, ValueError) as error:
        raise _down("keys", "a certificate in the provider's metadata cannot be read") from error
    strong = (
        key.key_size >= SMALLEST_RSA
        if isinstance(key, rsa.RSAPublicKey)
        else isinstance(key, ec.EllipticCurvePublicKey)
    )
    if not strong:
        raise _down(
            "keys", f"a signing key in the provider's metadata is no EC key, and no RSA key of {SMALLEST_RSA} bits"
        )
    return certificate.public_bytes(Encoding.PEM)


def _earliest(*elements: Element) -> float | None:
    """The earliest `validUntil` of these and of what they are in."""
    ends = [instant(said) for element in elements if (said := element.get("validUntil")) is not None]
    return min(ends, default=None)


def _unreadable() -> ProviderDown:
    return _down("unreadable", "what is at the address of the provider's metadata is not SAML metadata")


def _down(reason: str, words: str) -> ProviderDown:
    return ProviderDown(f"saml_metadata_{reason}", words)
