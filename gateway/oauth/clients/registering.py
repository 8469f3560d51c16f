"""POST /oauth/register: RFC 7591 for clients that have no document to show. Open, so limited and forgetful."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

from authlib.oauth2 import OAuth2Error
from sqlmodel import col, func, select

from authz.clients.known import UNUSED_LIFE, Origin, new_secret
from authz.neighbours import neighbourhood
from authz.scopes import ALL
from authz.tables import Client
from gateway.oauth.answering import count, endpoint
from gateway.oauth.clients import metadata
from gateway.oauth.clients.client import SECRET_METHODS
from gateway.oauth.problems import TooMany
from gateway.oauth.replies import as_json
from gateway.pages.gate import address_of
from gateway.pages.session import world_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.world import World

WINDOW, PER_ADDRESS = 600.0, 20  # registrations from one address in so many seconds
UNUSED_MOST = 5000  # clients that registered and were never used, all in all


class Closed(OAuth2Error):
    error = "access_denied"
    description = "an administrator registers clients here: ostiary client add"
    status_code = 403


class TooManyUnused(OAuth2Error):
    """Whoever fills the table from many addresses stops nobody but those who register."""

    error = "temporarily_unavailable"
    description = "too many clients are registered and unused; try again tomorrow"
    status_code = 503


@endpoint
def register(request: Request) -> Response:
    world, address = world_of(request), address_of(request)
    if not world.settings.dynamic_registration:
        raise Closed
    if count(world, f"register:{neighbourhood(address)}", WINDOW) > PER_ADDRESS:
        raise TooMany("registrations", WINDOW)
    client, secret = describe(metadata.read_metadata(request.state.form_body))
    _keep(world, client, address)
    return as_json(201, answer(client, secret))


def describe(said: metadata.ClientMetadata) -> tuple[Client, str]:
    """The client that is asked for, and its secret if it wants one."""
    kind, method, now = metadata.application_type(said), metadata.auth_method(said), time.time()
    secret, secret_hash = new_secret() if method in SECRET_METHODS else ("", "")
    keys, keys_uri = metadata.keys(said)
    client = Client(
        id=f"ost_cl_{secrets.token_urlsafe(16)}",
        name=metadata.client_name(said) or "A client without a name",
        origin=Origin.DYNAMIC,
        redirect_uris=metadata.redirect_uris(said, web=kind == "web"),
        grant_types=metadata.grant_types(said),
        auth_method=method,
        application_type=kind,
        secret_hash=secret_hash,
        keys=keys,
        keys_uri=keys_uri,
        created_at=now,
        expires_at=now + UNUSED_LIFE,
    )
    return client, secret


def answer(client: Client, secret: str) -> dict[str, Any]:
    """RFC 7591 section 3.2.1: what was registered, which need not be what was asked for."""
    body = {
        "client_id": client.id,
        "client_id_issued_at": int(client.created_at),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "grant_types": client.grant_types,
        "response_types": ["code"] if "authorization_code" in client.grant_types else [],
        "token_endpoint_auth_method": client.auth_method,
        "application_type": client.application_type,
        "scope": ALL,
    }
    return body | ({"client_secret": secret, "client_secret_expires_at": 0} if secret else {})


def _keep(world: World, client: Client, address: str) -> None:
    facts = {"client": client.id, "name": client.name, "redirect_uris": client.redirect_uris, "address": address}
    with world.office.change("client.registered", who="nobody", **facts) as (session, _):
        unused = select(func.count()).select_from(Client).where(col(Client.expires_at) > client.created_at)
        if session.exec(unused).one() >= UNUSED_MOST:
            raise TooManyUnused
        session.add(client)
