"""What a token may be for: each portal and each mount is a resource of its own (RFC 8707, RFC 9728)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry.catalogue import PORTAL_PATH

if TYPE_CHECKING:
    from gateway.snapshots import Snapshot

WELL_KNOWN = "/.well-known/oauth-protected-resource"

_MOUNT = re.compile(r"/mcp(?:/[a-z0-9][a-z0-9_-]{0,63})?|/servers/[a-z0-9][a-z0-9_-]{0,63}/mcp")


def is_mount_path(path: str) -> bool:
    """Whether something could be mounted there. What is, anonymous people are not told."""
    return _MOUNT.fullmatch(path) is not None


def resource_of(base: str, path: str) -> str:
    """The identifier of what is mounted at `path`; the audience of its tokens."""
    return base + path


def metadata_url(base: str, path: str) -> str:
    """Where the resource describes itself: RFC 9728 section 3.1, the well-known part before the path."""
    return base + WELL_KNOWN + path


def find_resource(base: str, asked: str | None, snapshot: Snapshot) -> str | None:
    """The canonical identifier of a resource that exists now; nothing asked means the default portal.

    One trailing slash is forgiven: people paste URLs with it, and the audience is ours to write.
    """
    if not asked:
        return base + PORTAL_PATH
    path = asked.removeprefix(base).removesuffix("/") if asked.startswith(base + "/") else ""
    if path != PORTAL_PATH and path not in snapshot.catalogue.mounts:
        return None
    return base + path
