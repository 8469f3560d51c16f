"""Our own client metadata documents, for the authorization servers of servers that people connect accounts at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from sqlmodel import col, select
from starlette.concurrency import run_in_threadpool

from gateway.credentials.oauth.apps import callback_of
from gateway.credentials.oauth.own_documents import PATHS, written
from gateway.oauth.replies import document
from gateway.pages.session import world_of
from registry.tables import Auth, Server, ServerState

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.office import Office

LIFE: Final = 60  # seconds a copy may be kept: a server that was just added has a callback too
CONNECTED: Final = (Auth.OAUTH_PERSON, Auth.OAUTH_SHARED)


async def show(request: Request) -> Response:
    """GET /oauth/clients/ostiary.json and /oauth/clients/ostiary-keys.json"""
    method = next(method for method, path in PATHS.items() if path == request.scope["path"])
    return document(await run_in_threadpool(_document, world_of(request).office, method), LIFE)


def _document(office: Office, method: str) -> bytes:
    base = office.settings.base_url
    return msgspec.json.encode(written(base, method, [callback_of(base, slug) for slug in _connected(office)]))


def _connected(office: Office) -> list[str]:
    """The servers with accounts. An authorization server has to see each address it sends browsers back to."""
    connected = col(Server.auth).in_(CONNECTED)
    query = select(Server.slug).where(connected, Server.state != ServerState.RETIRED).order_by(Server.slug)
    with office.database.read() as session:
        return list(session.exec(query))
