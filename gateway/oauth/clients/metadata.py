"""What a client says of itself, by registration (RFC 7591 section 2) or in its document, and what we make of it."""

from __future__ import annotations

from typing import Any

import msgspec
from authlib.oauth2 import OAuth2Error

from authz.clients import redirects
from authz.jose import PRIVATE_MEMBERS
from gateway.oauth.clients.client import AUTH_METHODS
from gateway.oauth.evidence import JWT_BEARER
from gateway.oauth.grants.device import DEVICE_CODE

URIS_MOST = 10
FLOWS = ("authorization_code", "refresh_token", DEVICE_CODE, JWT_BEARER)


class MetadataRefused(OAuth2Error):
    """RFC 7591 section 3.2.2."""

    error = "invalid_client_metadata"


class RedirectRefused(MetadataRefused):
    error = "invalid_redirect_uri"


class ClientMetadata(msgspec.Struct):
    """The members we look at; others are ignored, as RFC 7591 section 2 has it."""

    client_id: str | None = None
    client_secret: str | None = None
    client_name: str | None = None
    redirect_uris: list[str] | None = None
    grant_types: list[str] | None = None
    response_types: list[str] | None = None
    token_endpoint_auth_method: str | None = None
    application_type: str | None = None
    jwks: dict[str, list[dict[str, Any]]] | None = None
    jwks_uri: str | None = None


def read_metadata(body: bytes) -> ClientMetadata:
    try:
        return msgspec.json.decode(body, type=ClientMetadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MetadataRefused("must be a JSON object whose members have the types of RFC 7591") from error


def auth_method(said: ClientMetadata) -> str:
    """RFC 7591 section 2 names the default."""
    method = said.token_endpoint_auth_method or "client_secret_basic"
    if method not in AUTH_METHODS:
        raise MetadataRefused(f"token_endpoint_auth_method must be one of {', '.join(AUTH_METHODS)}")
    return method


def keys(said: ClientMetadata) -> tuple[dict[str, Any] | None, str]:
    """Its public keys, or where they are (RFC 7591 section 2: one of the two), if it authenticates with one."""
    if auth_method(said) != "private_key_jwt":
        return None, ""
    if (said.jwks is None) == (said.jwks_uri is None) or (said.jwks is not None and not said.jwks.get("keys")):
        raise MetadataRefused("private_key_jwt needs jwks or jwks_uri, one of the two")
    if said.jwks is not None and any(PRIVATE_MEMBERS & key.keys() for key in said.jwks["keys"]):
        raise MetadataRefused("jwks must hold public keys: that was a private one, make another")
    return said.jwks, said.jwks_uri or ""


def application_type(said: ClientMetadata) -> str:
    """SEP-837 wants it said. Where it is not, the redirects tell: only https ones make a web application."""
    if said.application_type not in {None, "native", "web"}:
        raise MetadataRefused("application_type must be native or web")
    https = all(uri.startswith("https://") for uri in said.redirect_uris or ())
    return said.application_type or ("web" if https else "native")


def redirect_uris(said: ClientMetadata, *, web: bool) -> list[str]:
    uris = said.redirect_uris or []
    if not uris and FLOWS[0] not in grant_types(said):
        return []  # a device has nowhere to be sent back to
    if not 0 < len(uris) <= URIS_MOST:
        raise RedirectRefused(f"redirect_uris must be a list of 1 to {URIS_MOST} URIs")
    for number, uri in enumerate(uris, 1):
        problem = redirects.problem(uri, web=web)
        if problem:
            raise RedirectRefused(f"redirect_uris, number {number}: {problem}")
    return uris


def grant_types(said: ClientMetadata) -> list[str]:
    """Those of ours that are asked for; without any, the default of RFC 7591 section 2."""
    asked = said.grant_types or [FLOWS[0]]
    if not {FLOWS[0], DEVICE_CODE, JWT_BEARER}.intersection(asked):
        raise MetadataRefused("grant_types must have authorization_code, the device grant or jwt-bearer")
    if not set(said.response_types or ()) <= {"code"}:
        raise MetadataRefused("response_types must be only code")
    return [flow for flow in FLOWS if flow in asked]


def client_name(said: ClientMetadata) -> str:
    """As it may be shown: one line, nothing invisible, not long. It is a claim; pages say whose."""
    text = said.client_name or ""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:80]
