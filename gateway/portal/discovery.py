"""What a mount says of itself: capabilities of the servers behind it, joined, and our own name (MCP, Discovery)."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.policy.decisions import SEEN_AS
from gateway.portal.headers import MODERN, SERVER_INFO_KEY
from gateway.upstream.tasks import EXTENSION, offers

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Mount, Upstream

TTL_MS: Final = 30_000
NOT_PASSED: Final = ("io.modelcontextprotocol/skills",)  # SEP-2640 has methods of its own, which nobody can call here

_encode: Final = msgspec.json.Encoder().encode


@lru_cache(maxsize=1)
def _version() -> str:
    try:
        return version("ostiary")
    except PackageNotFoundError:  # run from a checkout
        return "0"


def server_info(mount: Mount) -> bytes:
    """Who answers: we do, whatever servers are behind."""
    return _info(mount.title)


@lru_cache(maxsize=256)
def _info(title: str) -> bytes:
    return _encode({"name": "ostiary", "title": title, "version": _version()})


def discover(exchange: Exchange) -> bytes:
    """The result of server/discover."""
    result: dict[str, Any] = {
        "resultType": "complete",
        "supportedVersions": [MODERN],
        "capabilities": capabilities(exchange),
        "ttlMs": TTL_MS,
        "cacheScope": "private",
        "_meta": {SERVER_INFO_KEY: msgspec.Raw(server_info(exchange.mount))},
    }
    said = instructions(exchange)
    if said:
        result["instructions"] = said
    return _encode(result)


def capabilities(exchange: Exchange) -> dict[str, Any]:
    """What can be done at this mount: everything that any of the principal's servers can do."""
    mount = exchange.mount
    offered: dict[str, Any] = {"tools": {"listChanged": True}}
    if mount.prompts:
        offered["prompts"] = {"listChanged": True}
    said = [upstream.capabilities for upstream in _upstreams(exchange)]
    if mount.resources or mount.templates:
        subscribe = any(_has(each, "resources", "subscribe") for each in said)
        offered["resources"] = {"listChanged": True, **({"subscribe": True} if subscribe else {})}
    for name in ("completions", "logging"):
        if any(name in each for each in said):
            offered[name] = {}
    extensions = _extensions(_upstreams(exchange))
    return {**offered, "extensions": extensions} if extensions and exchange.modern else offered


def instructions(exchange: Exchange) -> str:
    """What approved servers tell a model about themselves, each under its own name."""
    parts = [(upstream.title or upstream.slug, upstream.instructions) for upstream in _upstreams(exchange)]
    said = [(title, text) for title, text in parts if text]
    if len(exchange.mount.servers) == 1:
        return said[0][1] if said else ""
    return "\n\n".join(f"{title}: {text}" for title, text in said)


def _upstreams(exchange: Exchange) -> list[Upstream]:
    """The servers of this mount of which the principal may see anything."""
    mount, policy = exchange.mount, exchange.snapshot.policy
    seen: set[str] = set()
    for entry in mount.entries():
        sees = SEEN_AS[entry.kind]
        if entry.server not in seen and policy.decide(exchange.principal, mount.portal, entry.object, sees):
            seen.add(entry.server)
    return [exchange.snapshot.catalogue.upstreams[slug] for slug in mount.servers if slug in seen]


def _has(capabilities: Any, kind: str, feature: str) -> bool:
    offered = capabilities.get(kind)
    return isinstance(offered, dict) and offered.get(feature) is True


def _extensions(upstreams: list[Upstream]) -> dict[str, Any]:
    """Extensions that pass through us untouched, and tasks, which servers of 2025-11-25 have in another form."""
    joined: dict[str, Any] = {}
    for each in upstreams:
        offered = each.capabilities.get("extensions")
        if isinstance(offered, dict):
            joined = {**offered, **joined}
    for name in (EXTENSION, *NOT_PASSED):
        joined.pop(name, None)
    return {**joined, EXTENSION: {}} if any(map(offers, upstreams)) else joined
