"""From what the core answers to what goes out: JSON that is never cached, and CORS where browsers are clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

# These endpoints take no cookie, so any page may call them; what it can do there, any program can do.
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "authorization, content-type, dpop, mcp-protocol-version",
    "access-control-expose-headers": "www-authenticate, retry-after",
    "access-control-max-age": "600",
}
_NEVER_CACHED = {"cache-control": "no-store", "pragma": "no-cache", "x-content-type-options": "nosniff"}


@dataclass(slots=True)
class Reply:
    """An answer of the framework-free core. Authlib's extensions read and write `location`."""

    status: int
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @location.setter
    def location(self, value: str) -> None:
        self.headers["location"] = value


def as_json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """JSON for a client, not to be kept (RFC 6749 section 5.1)."""
    extra = {name.lower(): value for name, value in (headers or {}).items() if name.lower() != "content-type"}
    content = msgspec.json.encode(body)
    return Response(content, status, media_type="application/json", headers=_NEVER_CACHED | CORS | extra)


def document(content: bytes, life: int = 300) -> Response:
    """A public document."""
    headers = {"cache-control": f"public, max-age={life}", "x-content-type-options": "nosniff"} | CORS
    return Response(content, media_type="application/json", headers=headers)


def preflight() -> Response:
    return Response(status_code=204, headers=CORS)


def refusal(status: int, error: str, description: str, *, retry_after: int = 0) -> Response:
    """RFC 6749 section 5.2."""
    headers = {"retry-after": str(retry_after)} if retry_after else {}
    return as_json(status, {"error": error, "error_description": description}, headers)
