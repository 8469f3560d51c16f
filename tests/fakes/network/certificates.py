"""A certificate authority of a test's own that certifies servers of every kind, bad ones too."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certified(NamedTuple):
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def context(self, clients: Authority | None = None) -> ssl.SSLContext:
        """TLS of a server with it; with `clients` it lets in only those that they vouch for."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients.certificate)
        return context


class Authority:
    """`certificate` is the file that trusts it."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = _called(f"throwaway {name}")
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        builder = self._builder(self._name, self._key.public_key(), days=2)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = folder / f"{name}.pem"
        self._write(self.certificate, builder.add_extension(usage, critical=True))

    def certify(self, *hosts: str, days: float = 2) -> Certified:
        """For names and addresses; already expired where `days` is negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_called(hosts[0]), key.public_key(), days)
        names = x509.SubjectAlternativeName([_general(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        stem = self._folder / f"{self._name.rfc4514_string()[3:].replace(' ', '-')}-{hosts[0]}-{days:g}"
        certified = Certified(Path(f"{stem}.crt"), Path(f"{stem}.key"))
        self._write(certified.certificate, builder)
        certified.key.touch(0o600)  # Samba and we refuse one that others can read
        certified.key.write_bytes(_private(key))
        return certified

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, days: float) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=5))
            .not_valid_after(now + dt.timedelta(days=days))
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def make_certificate(directory: Path, host: str) -> tuple[Path, ssl.SSLContext]:
    """The file to trust, and a server's TLS context with a certificate for `host`."""
    authority = Authority(directory)
    return authority.certificate, authority.certify(host).context()


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
