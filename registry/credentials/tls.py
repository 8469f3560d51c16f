"""TLS with one server, where it is not as with all others: a certificate of ours, authorities of its own.

The private key is in the vault; whoever sets the certificate gives both, so that no half of a pair is ever there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from sqlmodel import select

from registry.addresses import exception_line
from registry.errors import RegistryError
from registry.tables import Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cryptography.x509 import Certificate
    from sqlmodel import Session

    from registry.secrets.vault import Vault

TLS_KEY: Final = "tls_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM texts; an empty one is not used. `digest` changes with any of them, `until` is when our certificate ends."""

    certificate: str = ""
    authorities: str = ""
    digest: str = ""
    until: float | None = field(default=None, compare=False)


def owner(slug: str) -> str:
    """Whose key it is, in the vault: apart from the secrets of a mode, which change with the mode."""
    return f"tls:{slug}"


def set_tls(
    session: Session, server: Server, *, certificate: bytes, key: bytes, authorities: bytes, vault: Vault
) -> None:
    """What TLS with the server needs from now on, in place of what it needed. Raises RegistryError, saying what to do.

    `certificate` may be followed by those between it and its authority.
    """
    if bool(certificate) != bool(key):
        raise RegistryError("a client certificate and its private key go together: give both")
    until = _check_pair(certificate, key) if certificate else None
    if authorities:
        _certificates(authorities, "--ca")
    clear_tls(session, server, vault)
    digest = sha256(certificate + b"\0" + authorities).hexdigest()[:32]
    if certificate:
        vault.seal(session, owner(server.slug), TLS_KEY, key)
    texts = {"certificate": certificate.decode(), "authorities": authorities.decode()}
    server.tls = {**texts, "digest": digest, "until": until}
    session.add(server)


def clear_tls(session: Session, server: Server, vault: Vault) -> None:
    """As with all others again."""
    if server.tls:
        vault.forget(session, owner(server.slug))
    server.tls = {}
    session.add(server)


def own_authorities(session: Session) -> dict[str, str]:
    """By `scheme://host:port`, the authorities that servers there are vouched for by, where they have their own."""
    columns = select(Server.url, Server.tls).where(Server.state != ServerState.RETIRED)
    return {exception_line(url): tls["authorities"] for url, tls in session.exec(columns) if tls.get("authorities")}


def read_tls(stored: Mapping[str, Any]) -> Tls | None:
    return Tls(**stored) if stored else None


def _check_pair(certificate: bytes, key: bytes) -> float:
    """When the certificate ends; raises unless it is good now, and the key is its own."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    own = _certificates(certificate, "--cert")[0]
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise RegistryError(
            "--key: that is no private key in PEM, or it is encrypted; give it without a password"
        ) from (error)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != own.public_key().public_bytes(*form):
        raise RegistryError("the private key is not that of the certificate; the certificate comes first in its file")
    until = own.not_valid_after_utc.timestamp()
    if until <= time.time():
        raise RegistryError("the certificate has expired: give the one that was issued in its place")
    return until


def _certificates(pem: bytes, option: str) -> Sequence[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(pem)
    except ValueError as error:
        raise RegistryError(f"{option}: that is no certificate in PEM") from error
