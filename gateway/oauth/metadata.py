"""What we say of ourselves: RFC 8414 and its OpenID form, RFC 9728 for each resource, RFC 7517 for our keys."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from authz.clients.known import TOKEN_EXCHANGE
from authz.jose import ALGORITHM, FOREIGN_ALGORITHMS
from authz.scopes import ALL
from gateway.oauth.clients.client import PROVING_METHODS
from gateway.oauth.evidence import JWT_BEARER
from gateway.oauth.grants.device import DEVICE_CODE
from gateway.oauth.grants.subjects import SUBJECT_TOKEN_TYPES
from gateway.oauth.replies import document
from gateway.oauth.resources import WELL_KNOWN, is_mount_path, resource_of
from gateway.pages.session import world_of
from registry.catalogue import PORTAL_PATH

if TYPE_CHECKING:
    from starlette.requests import Request

AUTH_METHODS = ("none", *PROVING_METHODS)  # first what we would have them choose
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials", TOKEN_EXCHANGE, DEVICE_CODE, JWT_BEARER)
ID_JAG_PROFILE = "urn:ietf:params:oauth:grant-profile:id-jag"
KEYS_LIFE = 300  # seconds a copy of our key set may be kept; shorter than a key is published before it signs


def server_metadata(base: str, *, registration: bool) -> dict[str, Any]:
    """RFC 8414 section 2, with what RFC 9207 and client ID metadata documents add."""
    document = {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "jwks_uri": f"{base}/oauth/jwks",
        "scopes_supported": [ALL],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "device_authorization_endpoint": f"{base}/oauth/device",
        "grant_types_supported": list(GRANT_TYPES),
        "subject_token_types_supported": list(SUBJECT_TOKEN_TYPES),
        "authorization_grant_profiles_supported": [ID_JAG_PROFILE],
        "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "token_endpoint_auth_signing_alg_values_supported": sorted(FOREIGN_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": sorted(FOREIGN_ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "dpop_signing_alg_values_supported": sorted(FOREIGN_ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": True,
    }
    if registration:
        document["registration_endpoint"] = f"{base}/oauth/register"
    return document


def openid_metadata(base: str, *, registration: bool) -> dict[str, Any]:
    """The same for clients that look only there; we issue no ID token, the two members are required by its grammar."""
    required = {"subject_types_supported": ["public"], "id_token_signing_alg_values_supported": [ALGORITHM]}
    return server_metadata(base, registration=registration) | required


def resource_metadata(base: str, path: str) -> dict[str, Any]:
    """RFC 9728 section 2. The same for every legal path, so that it tells nobody which servers there are."""
    return {
        "resource": resource_of(base, path),
        "authorization_servers": [base],
        "scopes_supported": [ALL],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": sorted(FOREIGN_ALGORITHMS),
        "resource_name": "Ostiary",
    }


async def show_server(request: Request) -> Response:
    """GET /.well-known/oauth-authorization-server"""
    return document(_server_document(*_facts(request), openid=False))


async def show_openid(request: Request) -> Response:
    """GET /.well-known/openid-configuration"""
    return document(_server_document(*_facts(request), openid=True))


async def show_resource(request: Request) -> Response:
    """GET /.well-known/oauth-protected-resource and the same with a mount's path behind it"""
    path = request.scope["path"].removeprefix(WELL_KNOWN) or PORTAL_PATH
    if not is_mount_path(path):
        return Response("No such resource.\n", 404, media_type="text/plain")
    return document(msgspec.json.encode(resource_metadata(_facts(request)[0], path)))


async def show_keys(request: Request) -> Response:
    """GET /oauth/jwks"""
    keys = world_of(request).snapshots.current.keys
    return document(msgspec.json.encode(keys.published(time.time())), KEYS_LIFE)


@lru_cache(maxsize=8)
def _server_document(base: str, registration: bool, *, openid: bool) -> bytes:
    build = openid_metadata if openid else server_metadata
    return msgspec.json.encode(build(base, registration=registration))


def _facts(request: Request) -> tuple[str, bool]:
    settings = world_of(request).settings
    return settings.base_url, settings.dynamic_registration
