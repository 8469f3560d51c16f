"""Holding an SDK server, which speaks both eras, to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

VERSION = b"mcp-protocol-version"


def version_of(scope: Scope) -> str:
    """The protocol version that the request's header names, or nothing."""
    value: bytes = dict(scope.get("headers", ())).get(VERSION, b"")
    return value.decode("latin-1")


class HandshakeOnly:
    """As servers in the field answer a revision that they have never heard of: 400, and no modern error."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and version_of(scope) not in {"", *HANDSHAKE_PROTOCOL_VERSIONS}:
            error = {"code": -32000, "message": "Bad Request: Server not initialized"}
            await JSONResponse({"jsonrpc": "2.0", "error": error, "id": None}, 400)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class ModernOnly:
    """No sessions and no handshake: what is not of a modern revision is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or version_of(scope) not in {"", *HANDSHAKE_PROTOCOL_VERSIONS}:
            await self.app(scope, receive, send)
        elif scope["method"] != "POST":
            await Response(status_code=405, headers={"Allow": "POST"})(scope, receive, send)
        else:
            data = {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": version_of(scope)}
            code = -32022 if version_of(scope) else -32020
            error = {"code": code, "message": "Speak a modern revision, and say which", "data": data}
            await JSONResponse({"jsonrpc": "2.0", "error": error, "id": None}, 400)(scope, receive, send)


ERAS: dict[str, type[ModernOnly | HandshakeOnly]] = {"modern": ModernOnly, "legacy": HandshakeOnly}
