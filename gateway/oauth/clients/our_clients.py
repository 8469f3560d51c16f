"""Our own client metadata documents, for the authorization servers of servers that people connect accounts at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlmodel import select
from starlette.concurrency import run_in_threadpool

from gateway.credentials.oauth.client.apps import callback_of
from gateway.credentials.oauth.client.own_documents import PATHS, address, document_of, written
from gateway.oauth.replies import as_json, document
from gateway.pages.session import world_of
from registry.tables import Auth, Server, ServerState, UpstreamClient

if TYPE_CHECKING:
    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.office import Office

LIFE: Final = 60  # seconds a copy may be kept
CONNECTED: Final = frozenset({Auth.OAUTH_PERSON, Auth.OAUTH_SHARED})


async def show_ourselves(request: Request) -> Response:
    """GET /oauth/clients/ostiary.json"""
    base = world_of(request).office.settings.base_url
    return document(msgspec.json.encode(written(address(base), base, "none", [])), LIFE)


async def show(request: Request) -> Response:
    """GET /oauth/clients/{slug}/ostiary.json and /oauth/clients/{slug}/ostiary-keys.json"""
    office, slug, path = world_of(request).office, request.path_params["slug"], request.scope["path"]
    method = next(method for method, form in PATHS.items() if form.format(slug=slug) == path)
    if not await run_in_threadpool(_is_ours, office, slug, method):
        return as_json(404, {"error": "not_found"})
    base = office.settings.base_url
    said = written(document_of(base, slug, method), base, method, [callback_of(base, slug)])
    return document(msgspec.json.encode(said), LIFE)


def _is_ours(office: Office, slug: str, method: str) -> bool:
    with office.database.read() as session:
        server = session.get(Server, slug)
        if server is None or server.auth not in CONNECTED or server.state == ServerState.RETIRED:
            return False
        return method != "none" or _is_public(session, slug)


def _is_public(session: Session, slug: str) -> bool:
    """Whether we are known without proof wherever that server leads. Elsewhere its authorization server could lead
    people on to another, where this document would be believed, and be brought the code (RFC 9700 section 4.4).
    """
    rows = session.exec(select(UpstreamClient).where(UpstreamClient.server == slug)).all()
    return bool(rows) and all((row.how, row.auth_method) == ("metadata", "none") for row in rows)
