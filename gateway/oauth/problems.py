"""What can be wrong with a request, in the words of RFC 6749 section 5.2 and RFC 8707 section 2."""

from __future__ import annotations

from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)

__all__ = [
    "AccessDenied",
    "InvalidClient",
    "InvalidGrant",
    "InvalidProof",
    "InvalidRequest",
    "InvalidScope",
    "InvalidTarget",
    "Refused",
    "UnauthorizedClient",
]

Refused = OAuth2Error
AccessDenied = AccessDeniedError
InvalidClient = InvalidClientError
InvalidGrant = InvalidGrantError
InvalidRequest = InvalidRequestError
InvalidScope = InvalidScopeError
UnauthorizedClient = UnauthorizedClientError


class InvalidProof(OAuth2Error):
    """RFC 9449 section 5: the proof is not one, not for this request, or not of the key that is bound."""

    error = "invalid_dpop_proof"


class InvalidTarget(OAuth2Error):
    """RFC 8707 section 2: the resource is unknown, or not the one that was allowed."""

    error = "invalid_target"
