"""What an authorization server says of itself (RFC 8414, or OpenID Connect Discovery): fetched, judged, remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.finding.documents import fetch
from registry.credentials.endpoints import is_endpoint
from registry.credentials.modes.oauth import AppSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.fetch import Fetcher
    from registry.credentials.modes.settings import AuthSettings

LIFE: Final = 600.0  # seconds that a document is believed without a look
OFFLINE: Final = "offline_access"
S256: Final = "S256"
_WHAT: Final = "the metadata of the authorization server (RFC 8414)"


class Authority(msgspec.Struct, frozen=True, kw_only=True, rename={
    "methods": "token_endpoint_auth_methods_supported",
    "scopes": "scopes_supported",
    "challenge_methods": "code_challenge_methods_supported",
    "grants": "grant_types_supported",
    "profiles": "authorization_grant_profiles_supported",
    "promises_iss": "authorization_response_iss_parameter_supported",
    "reads_documents": "client_id_metadata_document_supported",
    "proofs": "dpop_signing_alg_values_supported",
}):  # fmt: skip
    """The parts that we use. `scopes` are None where it does not say which it has."""

    plain: ClassVar[bool] = False  # OAuth without metadata, as somebody wrote it down

    issuer: str
    token_endpoint: str = ""
    authorization_endpoint: str = ""
    registration_endpoint: str = ""
    revocation_endpoint: str = ""
    methods: tuple[str, ...] = ("client_secret_basic",)  # RFC 8414 section 2
    scopes: tuple[str, ...] | None = None
    challenge_methods: tuple[str, ...] = ()
    grants: tuple[str, ...] = ("authorization_code", "implicit")
    profiles: tuple[str, ...] = ()
    promises_iss: bool = False
    reads_documents: bool = False
    proofs: tuple[str, ...] = ()  # RFC 9449 section 5.1

    @property
    def offers_offline(self) -> bool:
        """SEP-2207: only one that lists the scope is asked for it."""
        return OFFLINE in (self.scopes or ())

    def for_codes(self) -> str:
        """Where browsers are sent. Raises Refused where that would not be safe."""
        if not self.authorization_endpoint:
            raise Refused("the authorization server has no place where a person could agree (authorization_endpoint)")
        if S256 not in self.challenge_methods:
            raise Refused(
                "the authorization server does not say that it checks PKCE with S256, without which a stolen code "
                "could be used: ask its operator to announce it (code_challenge_methods_supported)"
            )
        return self.authorization_endpoint

    def for_tokens(self) -> str:
        if not self.token_endpoint:
            raise Refused("the authorization server has no token_endpoint")
        return self.token_endpoint


class Written(Authority, frozen=True, kw_only=True):
    """One that an administrator wrote down; a type of its own, for no document can claim to be that."""

    plain: ClassVar[bool] = True


def read_authority(fetcher: Fetcher, issuer: str) -> Authority:
    """The document about `issuer`. Raises Unanswered where there is none, Refused where it is about another."""
    found = find_authority(fetcher, issuer)
    if found is None:
        raise Unanswered("the authorization server publishes no metadata (RFC 8414) where its issuer says")
    return found


def find_authority(fetcher: Fetcher, issuer: str) -> Authority | None:
    """The same; None where there is none."""
    for url in _places(issuer):
        document = fetch(fetcher, url, Authority, _WHAT)
        if document is not None:
            return _judge(document, issuer)
    return None


def guessed(origin: str) -> Authority:
    """Of a server of 2025-03-26 ("Fallbacks for Servers without Metadata Discovery"), never of one with metadata."""
    return Authority(
        issuer=origin,
        authorization_endpoint=f"{origin}/authorize",
        token_endpoint=f"{origin}/token",
        registration_endpoint=f"{origin}/register",
        methods=("client_secret_post", "none"),
        challenge_methods=(S256,),  # OAuth 2.1 has it, and nobody can say so
    )


def written(settings: AuthSettings) -> Written | None:
    """The one that an administrator wrote down, which publishes nothing (ADR 33); None where it says itself what it is.

    Nobody can tell whether it checks PKCE, so `read_auth` lets no app be used there that has neither secret nor key.
    """
    if not isinstance(settings, AppSettings) or not settings.token_endpoint:
        return None
    return Written(
        issuer=settings.authority,
        token_endpoint=settings.token_endpoint,
        authorization_endpoint=getattr(settings, "authorization_endpoint", ""),
        revocation_endpoint=getattr(settings, "revocation_endpoint", ""),
        challenge_methods=(S256,),
    )


def _places(issuer: str) -> Iterator[str]:
    """RFC 8414 section 3.1 and section 5, OpenID Connect Discovery 1.0 section 4; MCP's order (SEP-2351)."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    yield f"{origin}/.well-known/oauth-authorization-server{path}"
    yield f"{origin}/.well-known/openid-configuration{path}"
    if path:
        yield f"{origin}{path}/.well-known/openid-configuration"


def _judge(document: Authority, issuer: str) -> Authority:
    """RFC 8414 section 3.3: the very same issuer, letter by letter; its addresses are as safe as its own."""
    if document.issuer != issuer:
        raise Refused(
            "the authorization server's metadata names another issuer than the server does; nothing was asked for: "
            "they have to agree letter by letter, also in a slash at the end"
        )
    for name in ("authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"):
        address = getattr(document, name)
        if address and not is_endpoint(address, issuer):
            raise Refused(f"the authorization server's {name} is no address that could be used")
    return document
