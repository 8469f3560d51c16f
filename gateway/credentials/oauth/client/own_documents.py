"""What we say of ourselves as a client (draft-ietf-oauth-client-id-metadata-document): an address is our id.

Each server has its own, with one callback, so that what was begun at the authorization server of one ends at no other;
and two of them, for a document can name one way of proving oneself alone: as a public client, and with our keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

OURSELVES: Final = "/oauth/clients/ostiary.json"
PATHS: Final = {
    "none": "/oauth/clients/{slug}/ostiary.json",
    "private_key_jwt": "/oauth/clients/{slug}/ostiary-keys.json",
}
GRANTS: Final = ("authorization_code", "refresh_token")


def address(base: str) -> str:
    """How we are called in what we sign for others. No browser is sent back by what is there."""
    return base + OURSELVES


def document_of(base: str, slug: str, method: str = "none") -> str:
    """Our client id for a server, where documents are read."""
    return base + PATHS[method].format(slug=slug)


def jwks_address(base: str) -> str:
    return f"{base}/oauth/jwks"


def can_be_read(base: str) -> bool:
    """The draft, section 2: https. A name that only this machine knows would lead nobody to us."""
    parts = urlsplit(base)
    return parts.scheme == "https" and parts.hostname not in {None, "localhost", "127.0.0.1", "::1"}


def said_of_us(base: str, redirect_uris: Sequence[str], method: str) -> dict[str, Any]:
    """Client metadata (RFC 7591 section 2), the same in a document and in a registration."""
    return {
        "client_name": "Ostiary",
        "client_uri": base,
        "redirect_uris": list(redirect_uris),
        "grant_types": list(GRANTS),
        "response_types": ["code"],
        "application_type": "web" if urlsplit(base).scheme == "https" else "native",
        "token_endpoint_auth_method": method,
    }


def written(ident: str, base: str, method: str, callbacks: Sequence[str]) -> dict[str, Any]:
    """The document at `ident`."""
    said = {"client_id": ident} | said_of_us(base, callbacks, method)
    return said | {"jwks_uri": jwks_address(base)} if method == "private_key_jwt" else said
