"""The account that all share at a server, and the one with which the gateway reads a server of people's own accounts.

An authorization server sends the browser back to our public address, so it is connected there, by an administrator;
what everybody has connected stands on the server's page of the review.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials import Refused, Unanswered
from gateway.pages.connecting.accounts import Held
from gateway.pages.connecting.departing import leave_for, onward
from gateway.pages.connecting.person import disconnect
from gateway.pages.connecting.showing import Led
from gateway.pages.gate import for_admin
from gateway.pages.render import not_found, page, see_other
from gateway.pages.session import posted, world_of
from gateway.problems import sentence
from registry import servers
from registry.catalogue.assembling import upstream_of
from registry.credentials import connections
from registry.credentials.modes.oauth import OAuthSettings
from registry.errors import RegistryError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from registry.catalogue import Upstream


@for_admin
def show(request: Request, _me: SignedIn) -> Response:
    """GET /connect/{slug}/shared"""
    upstream = _upstream(request)
    return not_found(request) if upstream is None else _page(request, upstream)


@for_admin
def depart(request: Request, me: SignedIn) -> Response:
    """POST /connect/{slug}/shared"""
    posted(request)
    upstream = _upstream(request)
    if upstream is None:
        return not_found(request)
    back_to = f"/connect/{upstream.slug}/shared?done=1"
    try:
        url = leave_for(request, me, upstream, subject="", led=Led(), back_to=back_to)
    except (Refused, Unanswered) as refused:
        return _page(request, upstream, error=sentence(str(refused)), status=502)
    return onward(request, url, upstream.title or upstream.slug)


@for_admin
def end(request: Request, me: SignedIn) -> Response:
    """POST /connect/{slug}/shared/end"""
    posted(request)
    slug = request.path_params["slug"]
    disconnect(request, me, slug, "")
    return see_other(f"/connect/{slug}/shared")


@for_admin
def end_one(request: Request, me: SignedIn) -> Response:
    """POST /admin/servers/{slug}/connections/end: of whichever person."""
    form = posted(request)
    slug = request.path_params["slug"]
    disconnect(request, me, slug, form.get("subject", ""))
    return see_other(f"/admin/servers/{slug}#connections")


def _upstream(request: Request) -> Upstream | None:
    """Of a server that is not approved yet as well: to read what it offers may need an account."""
    office = world_of(request).office
    with office.database.read() as session:
        try:
            server = servers.find(session, request.path_params["slug"])
            lines = [*office.settings.allow_addresses, *servers.exception_lines(session)]
            upstream = upstream_of(server, lines)
        except RegistryError:
            return None
    return upstream if isinstance(upstream.auth_settings, OAuthSettings) else None


def _page(request: Request, upstream: Upstream, *, error: str = "", status: int = 200) -> Response:
    with world_of(request).office.database.read() as session:
        row = connections.find(session, upstream.slug, "")
    return page(
        request, "connect_shared.html", status=status, error=error, server=upstream,
        held=Held(row, "shared") if row is not None else None,
        done=bool(request.query_params.get("done")), reading=upstream.auth_settings.personal,
    )  # fmt: skip
