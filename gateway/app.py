"""The two planes of a listener: the mounts, which the portal answers, and everything else, which Starlette does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from gateway.oauth.patience import Patience
from gateway.oauth.routes import routes as oauth_routes
from gateway.operating import health
from gateway.pages.forms import ReadForms
from gateway.pages.problems import HANDLERS
from gateway.pages.routes import admin_routes
from gateway.pages.routes import routes as page_routes
from gateway.portal import Portal
from gateway.scim.routes import routes as scim_routes

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from gateway.world import World


@dataclass(frozen=True, slots=True)
class Planes:
    """What a listener answers with. Bytes of the data plane never meet the control plane's middleware."""

    control: ASGIApp
    portal: Portal | None = None


def build(world: World) -> Planes:
    """Everything on the main address; `/admin` only where it has no listener of its own."""
    routes = [*health.routes(), *oauth_routes(), *page_routes(), *scim_routes()]
    if world.settings.admin_listen is None:
        routes += admin_routes()
    return Planes(control_plane(world, routes), Portal(world))


def build_admin(world: World) -> Planes:
    """The admin's listener: the review, and what is needed to sign in to it."""
    return Planes(control_plane(world, [*page_routes(), *admin_routes()]))


def control_plane(world: World, routes: list[BaseRoute]) -> ASGIApp:
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False  # a path has one spelling; any other is not found
    app.state.world = world
    app.state.patience = Patience()
    return ReadForms(app)
