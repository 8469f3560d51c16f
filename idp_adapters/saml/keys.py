"""Our key toward one SAML provider: it signs what we send and opens what is encrypted for us.

Kept as one secret, the private key and then its certificate in PEM. The certificate is in the metadata that the
provider is given; nobody looks at who signed it or how long it lasts, so that ours signs itself and lasts long.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from idp_adapters.contract import ProviderDown

YEARS = 10
SMALLEST_RSA = 2048


@dataclass(frozen=True, slots=True)
class SpKey:
    """`pem` is the private key alone."""

    private: rsa.RSAPrivateKey = field(repr=False)
    certificate: x509.Certificate
    pem: bytes = field(repr=False)


def generate(slug: str) -> bytes:
    """A new key with its certificate."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"ostiary {slug}"[:64])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365 * YEARS))
        .sign(key, hashes.SHA256())
    )
    return _pem(key) + certificate.public_bytes(serialization.Encoding.PEM)


def read(secret: bytes) -> SpKey:
    """The key that was kept. Raises ProviderDown: without it nothing of this provider works."""
    try:
        key = serialization.load_pem_private_key(secret, password=None)
        certificate = x509.load_pem_x509_certificate(secret)
    except (ValueError, TypeError) as error:
        raise _unfit("is not a private key followed by its certificate, both in PEM") from error
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < SMALLEST_RSA:
        raise _unfit(f"has to be an RSA key of at least {SMALLEST_RSA} bits")
    if certificate.public_key() != key.public_key():
        raise _unfit("has a certificate that belongs to another key")
    return SpKey(key, certificate, _pem(key))


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL  # what every xmlsec1 reads
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _unfit(words: str) -> ProviderDown:
    return ProviderDown("saml_key", f"our key for this provider (sp_key) {words}")
