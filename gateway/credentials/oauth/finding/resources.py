"""What a server says of whom it takes tokens from (RFC 9728, protected resource metadata)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from gateway.credentials import Refused, Unanswered
from gateway.credentials.oauth.finding.challenges import Challenge, read_challenge, read_scopes
from gateway.credentials.oauth.finding.documents import TIMEOUT, ask, fetch
from gateway.upstream import Ask
from gateway.upstream.envelope import MODERN_VERSION, modern_body
from registry.addresses import exception_line
from registry.errors import AddressRefused
from registry.tables import Transport

if TYPE_CHECKING:
    from gateway.fetch import Fetcher
    from idp_adapters.contract import HttpAnswer
    from registry.catalogue import Upstream

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
AUTHORITIES_MOST: Final = 16
KNOCK_LIMIT: Final = 64 * 1024  # bytes of an answer that only its head matters of
_WHAT: Final = "what the server says of its authorization (RFC 9728)"

_KNOCK: Final = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": MODERN_VERSION,
    "mcp-method": "server/discover",
}


class _Document(msgspec.Struct):
    resource: str
    authorization_servers: list[str] = []
    scopes_supported: list[str] = []
    dpop_signing_alg_values_supported: list[str] = []
    dpop_bound_access_tokens_required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A server as the resource of tokens. `issuers` are those that it names, or the one that stands for them.

    `old` is one that has no metadata: of revision 2025-03-26, its authorization server is at its own origin. `proofs`
    are the algorithms of proofs of possession that it takes (RFC 9449), and `bound` says that it wants them.
    """

    name: str  # what tokens are asked for (RFC 8707)
    issuers: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()  # what its challenge named
    old: bool = False
    proofs: tuple[str, ...] = ()
    bound: bool = False


def read_resource(fetcher: Fetcher, upstream: Upstream) -> Resource:
    """Knocks without a token, then reads what the answer points to, or the places where it would be.

    Raises Refused for a document that speaks of another resource, Unanswered when there is none to be had.
    """
    challenge = knock(fetcher, upstream)
    for url in _places(upstream.url, challenge):
        document = fetch(fetcher, url, _Document, _WHAT)
        if document is not None:
            judged = _judge(document, upstream.url)
            return replace(judged, wanted=challenge.scopes, proofs=judged.proofs or challenge.proofs)
    if challenge.resource_metadata:
        raise Unanswered(f"{_WHAT} is not where the server says, nor anywhere else")
    return replace(untold(upstream, origin_of(upstream.url)), wanted=challenge.scopes)


def untold(upstream: Upstream, issuer: str) -> Resource:
    """A server that says nothing of whom it takes tokens from."""
    return Resource(name=upstream.url, issuers=(issuer,), old=True)


def parameter(upstream: Upstream, name: str, *, told: bool) -> str:
    """What is said as `resource` (RFC 8707) when a token is asked for; empty if that is not said.

    MCP has its clients say it always. An authorization server of an HTTP API may refuse what it does not know, so there
    it is said only if the API itself has `told` what it is called, or an administrator has.
    """
    written: str = getattr(upstream.auth_settings, "resource", "")
    return written or (name if told or upstream.transport is not Transport.OPENAPI else "")


def knock(fetcher: Fetcher, upstream: Upstream) -> Challenge:
    """What a request without a token is answered; nothing, where that says nothing."""
    try:
        answer = ask(lambda: _knock(fetcher, upstream), "the server")
    except Unanswered:
        return Challenge()
    if answer.status != 401:
        return Challenge()
    return read_challenge(answer.headers.get("www-authenticate", "").encode("latin-1", "replace"))


def origin_of(url: str) -> str:
    """As an issuer would be written: without a slash, and without a port that goes without saying."""
    parts = urlsplit(url)
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}"


def covers(resource: str, url: str) -> bool:
    """Whether a token for `resource` is meant for `url`: it is that address, or one above it (RFC 9728 section 3.3)."""
    try:
        same = exception_line(resource) == exception_line(url)
    except AddressRefused:
        return False
    above, below = urlsplit(resource), urlsplit(url)
    if not same or above.query or above.fragment:
        return False
    path = above.path.rstrip("/")
    return below.path == above.path or f"{below.path}/".startswith(f"{path}/")


def _knock(fetcher: Fetcher, upstream: Upstream) -> HttpAnswer:
    """With what changes nothing: an MCP server is asked what it is, anything else is only looked at."""
    if upstream.transport is not Transport.HTTP:
        return fetcher.get(upstream.url, limit=KNOCK_LIMIT, timeout=TIMEOUT)
    body = modern_body(Ask(method="server/discover", principal=None), 1)
    return fetcher.send("POST", upstream.url, headers=_KNOCK, body=body, limit=KNOCK_LIMIT, timeout=TIMEOUT)


def _places(url: str, challenge: Challenge) -> list[str]:
    """MCP authorization, "Protected Resource Metadata Discovery": what the server names, else below its path, else at
    the root.
    """
    parts = urlsplit(url)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = (challenge.resource_metadata, f"{origin}{WELL_KNOWN}{path}", f"{origin}{WELL_KNOWN}")
    return list(dict.fromkeys(filter(None, places)))


def _judge(document: _Document, url: str) -> Resource:
    if not covers(document.resource, url):
        raise Refused(
            "the server's metadata speaks of another resource than the address that it is registered under, so no "
            "token was asked for: register the server under the address that it calls itself"
        )
    if not 0 < len(document.authorization_servers) <= AUTHORITIES_MOST:
        raise Refused("the server's metadata names no authorization server: set one with --issuer, or ask its operator")
    return Resource(
        name=document.resource,
        issuers=tuple(document.authorization_servers),
        scopes=read_scopes(" ".join(document.scopes_supported)),
        proofs=tuple(document.dpop_signing_alg_values_supported),
        bound=document.dpop_bound_access_tokens_required,
    )
