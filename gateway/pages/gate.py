"""Who may see a page. A handler behind a gate is handed the person; it cannot be reached without one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.pages.render import message, not_found, see_other, to_sign_in
from gateway.pages.session import signed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn

    Page = Callable[[Request], Response]
    PersonalPage = Callable[[Request, SignedIn], Response]


def for_person(handler: PersonalPage) -> Page:
    """Whoever is not signed in is asked to, and comes back."""

    @functools.wraps(handler)
    def gated(request: Request) -> Response:
        me = signed_in(request)
        if me is not None:
            return handler(request, me)
        if "authorization" in request.headers:  # a token is for the portal; pages know browsers only
            return message(request, 401, "Sign in with a browser", "This page takes no token.")
        return to_sign_in(request) if request.method == "GET" else see_other("/signin")

    return gated


def for_admin(handler: PersonalPage) -> Page:
    """For everybody else the page does not exist."""

    @for_person
    @functools.wraps(handler)
    def gated(request: Request, me: SignedIn) -> Response:
        return handler(request, me) if me.is_admin else not_found(request)

    return gated


def own_path(value: str) -> str:
    """Where to go after signing in: a path of ours as it was asked for, or else the portal's home."""
    parts = urlsplit(value) if value.isascii() and value.isprintable() and "\\" not in value else None
    if parts is None or parts.scheme or parts.netloc or not value.startswith("/") or value.startswith("//"):
        return "/"
    return value


def address_of(request: Request) -> str:
    """Where the browser is; the edge has looked through the proxies that we trust."""
    arrival = request.scope.get("ostiary")
    if arrival is not None:
        source: str = arrival.source
        return source
    return request.client.host if request.client else ""
