"""TLS contexts for servers: one for all, and one of its own for a server that wants our certificate or has its own
authorities.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from functools import cache
from os import urandom
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.upstream import UpstreamUnreachable
from gateway.upstream.troubles import Trouble
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.egress.routes import Route
    from registry.credentials.tls import Tls

UNUSABLE = "our certificate for this server cannot be used; an administrator must set it again; nothing was sent"


class Contexts:
    """Each made once, because it costs 25 ms. `keys` gives the private key for a server's certificate; in a thread."""

    def __init__(self, keys: Callable[[str], bytes]) -> None:
        self._keys = keys
        self._own: dict[str, tuple[str, ssl.SSLContext]] = {}  # by server: digest and context
        self._making = asyncio.Lock()

    async def of(self, route: Route) -> ssl.SSLContext:
        """The one for connections on this route. Raises UpstreamUnreachable if ours cannot be made."""
        if route.tls is None:
            return common()
        async with self._making:
            digest, context = self._own.get(route.server, ("", None))
            if context is None or digest != route.tls.digest:
                context = await asyncio.to_thread(self._made, route.server, route.tls)
                self._own[route.server] = (route.tls.digest, context)
            return context

    def _made(self, server: str, tls: Tls) -> ssl.SSLContext:
        try:
            return own_context(tls, self._keys(server) if tls.certificate else b"")
        except (SecretRefused, ValueError, OSError) as error:  # ssl.SSLError is an OSError
            raise UpstreamUnreachable(UNUSABLE, Trouble.TLS) from error


@cache
def common() -> ssl.SSLContext:
    """For servers of which nothing else is known: the system's authorities, nothing of ours."""
    return _client_context()


def own_context(tls: Tls, key: bytes) -> ssl.SSLContext:
    """For one server. Authorities of its own stand in place of the system's: nobody else vouches for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if tls.authorities else _client_context()
    if tls.authorities:
        context.load_verify_locations(cadata=tls.authorities)
        _harden(context)
    if tls.certificate:
        _load_pair(context, tls.certificate.encode(), key)
    return context


def _client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    _harden(context)
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])


def _load_pair(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """OpenSSL reads a pair from a file alone, so the key lies in one for a moment: encrypted, for nobody to open."""
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    password = urandom(32).hex().encode()
    private = load_pem_private_key(key, password=None)
    shut = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.TemporaryDirectory(prefix="ostiary-tls-") as folder:
        file = Path(folder) / "pair.pem"
        file.write_bytes(certificate + b"\n" + shut)
        context.load_cert_chain(file, password=password)


def why_not(error: Exception) -> str:
    """What went wrong in a handshake, in words where an administrator can do something about it; OpenSSL's own words
    for what a certificate lacks are of us and of nobody else.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate does not hold ({error.verify_message}); nothing was sent"
    reason = (getattr(error, "reason", None) or "").replace("_", " ").lower()
    if "alert" in reason:
        return f"the server ended TLS ({reason}): it may want a certificate of ours, or another; nothing was sent"
    return "TLS with the server cannot be agreed on; nothing was sent"
