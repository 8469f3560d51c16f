"""The HTTP-Redirect binding (SAML bindings, section 3.4): a message in a query, and a signature over that query."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, unquote_plus

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from idp_adapters.saml.shape import LARGEST, SIGNATURES, refused, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable

RSA_SHA256: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_HASHES: Final = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def address(location: str, name: str, message: str, relay_state: str, key: rsa.RSAPrivateKey) -> str:
    """Where the browser goes with a signed `SAMLRequest` or `SAMLResponse`."""
    parts = [(name, base64.b64encode(_deflated(message.encode())).decode())]
    if relay_state:
        parts.append(("RelayState", relay_state))
    parts.append(("SigAlg", RSA_SHA256))
    query = "&".join(f"{part}={quote_plus(value)}" for part, value in parts)
    signature = base64.b64encode(key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()
    return f"{location}{'&' if '?' in location else '?'}{query}&Signature={quote_plus(signature)}"


def signed_message(query: str, name: str, certificates: Iterable[bytes]) -> bytes:
    """The message, if one of the certificates' keys signed the query as it was sent. Raises IdentityRefused."""
    parts = _parts(query)
    algorithm = unquote_plus(parts.get("SigAlg", ""))
    if name not in parts or "Signature" not in parts:
        raise refused("unsigned", "the message of the identity provider is not signed")
    if algorithm not in SIGNATURES:
        raise refused("algorithm", "the message is signed with an algorithm that we do not accept: SHA-256 or better")
    signed = "&".join(f"{part}={parts[part]}" for part in (name, "RelayState", "SigAlg") if part in parts)
    signature = _decoded(unquote_plus(parts["Signature"]))
    if not any(_made_by(certificate, signature, signed.encode(), algorithm) for certificate in certificates):
        raise refused("signature", "the signature of the identity provider does not hold")
    return _inflated(_decoded(unquote_plus(parts[name])))


def _parts(query: str) -> dict[str, str]:
    """The parameters, still encoded; one twice is refused."""
    pairs = [part.partition("=") for part in query.split("&")]
    parts = {name: value for name, _, value in pairs}
    if len(parts) != len(pairs):
        raise unreadable("parameter_twice")
    return parts


def _made_by(certificate: bytes, signature: bytes, signed: bytes, algorithm: str) -> bool:
    key = x509.load_pem_x509_certificate(certificate).public_key()
    digest = _HASHES[algorithm[-3:]]
    try:
        if isinstance(key, rsa.RSAPublicKey) and "#rsa-" in algorithm:
            key.verify(signature, signed, padding.PKCS1v15(), digest)
            return True
        if isinstance(key, ec.EllipticCurvePublicKey) and "#ecdsa-" in algorithm:
            key.verify(_as_der(signature), signed, ec.ECDSA(digest))
            return True
    except InvalidSignature:
        return False
    return False


def _as_der(signature: bytes) -> bytes:
    """XML signatures write r and s one after the other (RFC 4050 section 3.3)."""
    half = len(signature) // 2
    return utils.encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise unreadable("base64") from error


def _deflated(message: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(message) + deflate.flush()


def _inflated(message: bytes) -> bytes:
    """Never more than a message may have: what deflates well is otherwise a bomb."""
    inflate = zlib.decompressobj(-15)
    try:
        inflated = inflate.decompress(message, LARGEST + 1)
    except zlib.error as error:
        raise unreadable("deflate") from error
    if len(inflated) > LARGEST or not inflate.eof:
        raise unreadable("too_large")
    return inflated
