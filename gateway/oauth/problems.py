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
    "TooMany",
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


class TooMany(OAuth2Error):
    """RFC 6749 has no error for it: the device grant's word (RFC 8628 section 3.5). `wait` is in seconds."""

    error = "slow_down"
    status_code = 429

    def __init__(self, what: str, wait: float) -> None:
        super().__init__(description=f"too many {what} from your address")
        self._wait = wait

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), ("Retry-After", f"{self._wait:.0f}")]


class InvalidTarget(OAuth2Error):
    """RFC 8707 section 2: the resource is unknown, or not the one that was allowed."""

    error = "invalid_target"
