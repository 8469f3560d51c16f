"""How single origins are spoken to with TLS: with authorities of their own, and with our certificate for them.

For what is fetched about a server: its description, its metadata, its tokens. A server's own TLS is used at the
server's own origin, and is shown to nobody else (T-49); the private key leaves the vault when a connection needs it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gateway.fetch import FetchFailed
from registry.addresses import exception_line
from registry.credentials.tls import TLS_KEY, Tls, own_authorities, owner
from registry.errors import SecretRefused

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from sqlmodel import Session

    from gateway.fetch import Own
    from gateway.office import Office
    from registry.catalogue import Upstream


def of_server(office: Office, upstream: Upstream) -> Own:
    """Of one server, at its origin."""
    tls = upstream.tls
    if tls is None:
        return {}
    key = partial(_key, office, upstream.slug) if tls.certificate else _no_key
    return {exception_line(upstream.url): (tls.digest, partial(_context, tls, key))}


def of_parts(url: str, parts: Mapping[str, bytes]) -> Own:
    """Of one that is not registered yet, as `registry.credentials.tls.set_tls` is given it."""
    tls = Tls(certificate=parts["certificate"].decode(), authorities=parts["authorities"].decode())
    return {exception_line(url): ("", partial(_context, tls, lambda: parts["key"]))} if any(parts.values()) else {}


def of_all(session: Session) -> Own:
    """Whose authorities are their own, wherever they are named; no certificate of ours goes anywhere."""
    known = own_authorities(session)
    return {origin: (pem, partial(_context, Tls(authorities=pem), _no_key)) for origin, pem in known.items()}


def _context(tls: Tls, key: Callable[[], bytes]) -> ssl.SSLContext:
    from gateway.egress.tls import own_context

    try:
        return own_context(tls, key())
    except (SecretRefused, ValueError, OSError) as error:  # ssl.SSLError is an OSError
        raise FetchFailed(
            "what TLS with it needs (our certificate, its authorities) cannot be used: set it again with `ostiary "
            "server tls`"
        ) from error


def _key(office: Office, slug: str) -> bytes:
    with office.database.read() as session:
        return office.vault.open_secret(session, owner(slug), TLS_KEY)


def _no_key() -> bytes:
    return b""
