"""Where SCIM is served. The handlers, and the models behind them, are imported with the first request."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

PATH = "/scim/v2"


def routes() -> list[BaseRoute]:
    """Users and groups, and what describes them."""
    found: list[BaseRoute] = [
        Route(f"{PATH}/ServiceProviderConfig", _late("discovery", "show_config"), methods=["GET"]),
        Route(f"{PATH}/ResourceTypes", _late("discovery", "list_types"), methods=["GET"]),
        Route(f"{PATH}/ResourceTypes/{{id}}", _late("discovery", "show_type"), methods=["GET"]),
        Route(f"{PATH}/Schemas", _late("discovery", "list_schemas"), methods=["GET"]),
        Route(f"{PATH}/Schemas/{{id}}", _late("discovery", "show_schema"), methods=["GET"]),
    ]
    for kind in ("Users", "Groups"):
        found += [
            Route(f"{PATH}/{kind}", _late("resources", "collect"), methods=["GET"]),
            Route(f"{PATH}/{kind}", _late("resources", "create"), methods=["POST"]),
            Route(f"{PATH}/{kind}/.search", _late("resources", "search"), methods=["POST"]),
            Route(f"{PATH}/{kind}/{{id}}", _late("resources", "show"), methods=["GET"]),
            Route(f"{PATH}/{kind}/{{id}}", _late("resources", "replace"), methods=["PUT"]),
            Route(f"{PATH}/{kind}/{{id}}", _late("resources", "patch"), methods=["PATCH"]),
            Route(f"{PATH}/{kind}/{{id}}", _late("resources", "remove"), methods=["DELETE"]),
        ]
    everything = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    return [*found, Route(f"{PATH}/{{rest:path}}", _late("discovery", "nothing"), methods=everything)]


def _late(module: str, name: str) -> Callable[[Request], Response]:
    def handle(request: Request) -> Response:
        handler: Callable[[Request], Response] = getattr(import_module(f"gateway.scim.{module}"), name)
        return handler(request)

    return handle
