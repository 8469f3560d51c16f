"""The addresses under /connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from gateway.pages.connecting import departing, person, shared

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def routes() -> list[BaseRoute]:
    """Where people and administrators connect accounts; `callback` is where authorization servers send them back to."""
    return [
        Route("/connect", person.show),
        Route("/connect", departing.depart, methods=["POST"]),
        Route("/connect/{slug}", person.show_one),
        Route("/connect/{slug}", departing.depart, methods=["POST"]),
        Route("/connect/{slug}/callback", departing.come_back),
        Route("/connect/{slug}/value", person.give_value, methods=["POST"]),
        Route("/connect/{slug}/end", person.end, methods=["POST"]),
        Route("/connect/{slug}/shared", shared.show),
        Route("/connect/{slug}/shared", shared.depart, methods=["POST"]),
        Route("/connect/{slug}/shared/end", shared.end, methods=["POST"]),
    ]


def admin_routes() -> list[BaseRoute]:
    """What belongs to the review."""
    return [Route("/admin/servers/{slug}/connections/end", shared.end_one, methods=["POST"])]
