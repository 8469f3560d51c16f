"""Which of the two planes answers a path: the mounts go to the portal as raw ASGI, everything else to Starlette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from gateway.oauth.routes import routes as oauth_routes
from gateway.operating import health
from gateway.pages.forms import ReadForms
from gateway.pages.problems import HANDLERS
from gateway.pages.routes import admin_routes
from gateway.pages.routes import routes as page_routes
from gateway.portal import Portal

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from gateway.world import World

MOUNTS = (b"/mcp", b"/servers/")


class Door:
    """The ASGI application: bytes of the data plane never meet the control plane's middleware."""

    def __init__(self, portal: ASGIApp, control: ASGIApp) -> None:
        self._portal = portal
        self._control = control

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        app = self._portal if scope["raw_path"].startswith(MOUNTS) else self._control
        return app(scope, receive, send)


def build(world: World) -> Door:
    """Everything on the main address; `/admin` only where it has no listener of its own."""
    routes = [*health.routes(), *oauth_routes(), *page_routes()]
    if world.settings.admin_listen is None:
        routes += admin_routes()
    return Door(Portal(world), control_plane(world, routes))


def build_admin(world: World) -> ASGIApp:
    """The admin's listener: the review, and what is needed to sign in to it."""
    return control_plane(world, [*page_routes(), *admin_routes()])


def control_plane(world: World, routes: list[BaseRoute]) -> ASGIApp:
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # a path has one spelling; any other is not found
    app.state.world = world
    return ReadForms(app)
