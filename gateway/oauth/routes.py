"""Where everything of the authorization server is, and where clients of 2025-03-26 look for it."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from gateway.credentials.oauth.client.own_documents import OURSELVES, PATHS
from gateway.oauth import metadata, revoke, token
from gateway.oauth.browser import authorize, device
from gateway.oauth.clients import our_clients, registering
from gateway.oauth.resources import WELL_KNOWN


def routes() -> list[BaseRoute]:
    """All of them; they need `app.state.world`, and bodies in `request.state.form_body`."""
    return [
        Route("/.well-known/oauth-authorization-server", metadata.show_server, methods=["GET", "OPTIONS"]),
        Route("/.well-known/openid-configuration", metadata.show_openid, methods=["GET", "OPTIONS"]),
        Route(WELL_KNOWN, metadata.show_resource, methods=["GET", "OPTIONS"]),
        Route(WELL_KNOWN + "/{path:path}", metadata.show_resource, methods=["GET", "OPTIONS"]),
        Route("/oauth/jwks", metadata.show_keys, methods=["GET", "OPTIONS"]),
        Route(OURSELVES, our_clients.show_ourselves, methods=["GET", "OPTIONS"]),
        *(Route(path, our_clients.show, methods=["GET", "OPTIONS"]) for path in PATHS.values()),
        Route("/oauth/authorize", authorize.ask, methods=["GET"]),
        Route("/oauth/consent", authorize.answer, methods=["POST"]),
        Route("/oauth/token", token.give, methods=["POST", "OPTIONS"]),
        Route("/oauth/device", device.begin, methods=["POST", "OPTIONS"]),
        Route("/device", device.show, methods=["GET"]),
        Route("/device", device.answer, methods=["POST"]),
        Route("/oauth/register", registering.register, methods=["POST", "OPTIONS"]),
        Route("/oauth/revoke", revoke.revoke, methods=["POST", "OPTIONS"]),
        # MCP 2025-03-26: without metadata a client tries these on the server's origin
        Route("/authorize", authorize.ask_elsewhere, methods=["GET"]),
        Route("/token", token.give, methods=["POST", "OPTIONS"]),
        Route("/register", registering.register, methods=["POST", "OPTIONS"]),
    ]
