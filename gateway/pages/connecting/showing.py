"""The two pages of a person's accounts: all of them, and one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authz.tables import Client
from gateway.credentials.connections.links import NOBODY, Ticket
from gateway.identity.providers import title_of
from gateway.pages.connecting.accounts import Account, account, accounts_of, is_theirs
from gateway.pages.render import page
from gateway.pages.session import world_of
from registry.credentials import connections
from registry.credentials.modes.static import StaticSettings

if TYPE_CHECKING:
    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from authz.principals import Principal
    from registry.catalogue import Upstream


@dataclass(frozen=True, slots=True)
class Led:
    """By what somebody came to the page of a server: a link, with what it says, or nothing but the page's address."""

    text: str = ""
    ticket: Ticket = NOBODY


def list_page(request: Request, me: SignedIn, *, error: str = "", status: int = 200) -> Response:
    """All accounts of a person; those that wait for them first."""
    with world_of(request).office.database.read() as session:
        accounts = _accounts(request, session, me)
    done = next((one.title for one in accounts if one.slug == request.query_params.get("done") and one.alive), "")
    return page(
        request, "connections.html", status=status, error=error, done=done, accounts=accounts,
        waiting=[one for one in accounts if one.waits and not one.header],
    )  # fmt: skip


def one_page(
    request: Request, me: SignedIn, upstream: Upstream, led: Led, *, error: str = "", status: int = 200
) -> Response:
    """What one server wants of a person, by whose call they came, and what else waits for them."""
    with world_of(request).office.database.read() as session:
        row = connections.find(session, upstream.slug, me.person.id)
        accounts = [] if led.ticket.sign_in else _accounts(request, session, me)
        client = session.get(Client, led.ticket.client) if led.ticket.client else None
    return page(
        request, "connect.html", status=status, error=error, led=led,
        account=account(upstream, upstream.slug, row, wanted=True),
        client=(client.name or client.id) if client is not None else "",
        others=[one for one in accounts if one.waits and one.slug != upstream.slug and not one.header],
        scheme=upstream.auth_settings.scheme if isinstance(upstream.auth_settings, StaticSettings) else "",
        place=upstream.auth_settings.place[0] if isinstance(upstream.auth_settings, StaticSettings) else "",
        provider=_provider(request, led.ticket.sign_in),
    )  # fmt: skip


def principal_of(request: Request, me: SignedIn) -> Principal | None:
    """Who this is before policy; None for somebody who was added within the last second."""
    member = world_of(request).snapshots.current.members.get(me.person.id)
    return None if member is None else me.principal(member, "", time.time())


def upstream_of(request: Request, me: SignedIn, slug: str, led: Led) -> Upstream | None:
    """The server, if it wants something of this person; of all others no page says whether they are there."""
    snapshot, principal = world_of(request).snapshots.current, principal_of(request, me)
    upstream = snapshot.catalogue.upstreams.get(slug)
    if upstream is None or principal is None or not is_theirs(snapshot, principal, slug):
        return None
    return upstream if upstream.auth_settings.personal or led.ticket.sign_in else None


def _accounts(request: Request, session: Session, me: SignedIn) -> list[Account]:
    return accounts_of(session, world_of(request).snapshots.current, principal_of(request, me), me.person.id)


def _provider(request: Request, slug: str) -> str:
    row = world_of(request).providers.find(slug) if slug else None
    return title_of(row) if row is not None else slug
