"""Which authorization server a server's tokens come from: the one that is configured, or the first that it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.credentials import Refused
from gateway.credentials.oauth.finding.authorities import LIFE, find_authority, guessed, read_authority, written
from gateway.credentials.oauth.finding.documents import Remembered
from gateway.credentials.oauth.finding.resources import origin_of, read_resource, untold

if TYPE_CHECKING:
    from gateway.credentials.oauth.finding.authorities import Authority
    from gateway.credentials.oauth.finding.resources import Resource
    from gateway.fetch import Fetcher
    from registry.catalogue import Upstream

RESOURCE_LIFE: Final = 300.0  # seconds that a server is believed to take tokens of whom it said


@dataclass(frozen=True, slots=True)
class Found:
    """A server as the resource of tokens, and the authorization server that gives them."""

    resource: Resource
    authority: Authority


class Discovery:
    """What servers and authorization servers say of themselves, remembered for a while; safe to share."""

    def __init__(self) -> None:
        self._resources: Remembered[Resource] = Remembered(RESOURCE_LIFE)
        self._authorities: Remembered[Authority] = Remembered(LIFE)

    def find(self, fetcher: Fetcher, upstream: Upstream, *, fresh: bool = False) -> Found:
        """Raises Refused for what does not hold together, Unanswered for what cannot be had."""
        known = written(upstream.auth_settings)
        if known is not None:
            return Found(untold(upstream, known.issuer), known)
        resource = self.resource(fetcher, upstream, fresh=fresh)
        issuer = chosen(resource, configured_issuer(upstream))
        return Found(resource, self.authority(fetcher, upstream, issuer, fresh=fresh))

    def resource(self, fetcher: Fetcher, upstream: Upstream, *, fresh: bool = False) -> Resource:
        return self._resources.get(upstream.url, lambda: read_resource(fetcher, upstream), fresh=fresh)

    def authority(self, fetcher: Fetcher, upstream: Upstream, issuer: str, *, fresh: bool = False) -> Authority:
        """What `issuer` says of itself, or what is written down of it. Raises as `find` does."""
        known = written(upstream.auth_settings)
        if known is not None and known.issuer == issuer:
            return known
        key = _known_as(upstream, issuer)
        return self._authorities.get(key, lambda: self._read(fetcher, upstream, issuer), fresh=fresh)

    def _read(self, fetcher: Fetcher, upstream: Upstream, issuer: str) -> Authority:
        """A server that is as old as 2025-03-26 may be its own without a document; nobody else may."""
        if issuer != origin_of(upstream.url) or issuer == configured_issuer(upstream):
            return read_authority(fetcher, issuer)
        found = find_authority(fetcher, issuer)
        if found is not None:
            return found
        return guessed(issuer) if self.resource(fetcher, upstream).old else read_authority(fetcher, issuer)

    def forget(self, upstream: Upstream, issuer: str) -> None:
        """What was done by these failed: the next look is a fresh one."""
        self._resources.forget(upstream.url)
        self._authorities.forget(_known_as(upstream, issuer))


def _known_as(upstream: Upstream, issuer: str) -> str:
    """What is guessed of an old server's own origin is nothing for another server that names it."""
    return f"{issuer} {upstream.url}" if issuer == origin_of(upstream.url) else issuer


def configured_issuer(upstream: Upstream) -> str:
    """As an administrator wrote it down."""
    return upstream.auth_settings.authority


def chosen(resource: Resource, configured: str) -> str:
    """An administrator's word stands, but a server that names others would take no token of that one."""
    if not configured:
        return resource.issuers[0]
    if resource.old or configured in resource.issuers:
        return configured
    raise Refused(
        "the server does not name the authorization server that was set with --issuer, letter by letter; it names "
        f"{', '.join(_shown(issuer) for issuer in resource.issuers[:3])}"
    )


def _shown(issuer: str) -> str:
    return "".join(char for char in issuer[:200] if "!" <= char <= "~")
