"""The style sheet, the one script and the mark: a fixed table in memory, under names that carry their digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_NAMES: Final = ("style.css", "copy.js", "submit.js", "mark.svg")


@dataclass(frozen=True, slots=True)
class Asset:
    path: str
    body: bytes
    kind: str


def _read(name: str) -> Asset:
    body = (files("gateway.pages") / "assets" / name).read_bytes()
    stem, _, extension = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(f"{stem}.{digest}.{extension}", body, _TYPES[extension])


_ASSETS: Final = {name: _read(name) for name in _NAMES}
_BY_PATH: Final = {asset.path: asset for asset in _ASSETS.values()}


def asset(name: str) -> str:
    """The address of an asset, for templates."""
    return f"/assets/{_ASSETS[name].path}"


async def serve_asset(request: Request) -> Response:
    """One of the table, for ever; anything else does not exist."""
    found = _BY_PATH.get(request.path_params["name"])
    if found is None:
        return PlainTextResponse("No such file.\n", 404)
    headers = {
        "cache-control": "public, max-age=31536000, immutable",
        "etag": f'"{found.path}"',
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.body, media_type=found.kind, headers=headers)
