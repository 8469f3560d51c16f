"""What we say of ourselves as a client (draft-ietf-oauth-client-id-metadata-document): an address is our id.

There are two, for a document can name one way of proving oneself alone: as a public client, and with our keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

PATHS: Final = {"none": "/oauth/clients/ostiary.json", "private_key_jwt": "/oauth/clients/ostiary-keys.json"}
GRANTS: Final = ("authorization_code", "refresh_token")


def address(base: str, method: str = "none") -> str:
    """Our client id where documents are read; the same at each of them."""
    return base + PATHS.get(method, PATHS["none"])


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


def written(base: str, method: str, callbacks: Sequence[str]) -> dict[str, Any]:
    """The document at `address(base, method)`."""
    said = {"client_id": address(base, method)} | said_of_us(base, callbacks, method)
    return said | {"jwks_uri": jwks_address(base)} if method == "private_key_jwt" else said
