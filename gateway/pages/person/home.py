"""The portal's home: what this is for everybody, and what is theirs for whoever is signed in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlmodel import col, delete

from authz.tables import Consent
from authz.tokens.families import disconnect
from gateway.clients_setup import setups
from gateway.pages.connecting.accounts import accounts_of
from gateway.pages.gate import address_of, for_person
from gateway.pages.person.belongings import connected, paused, shelves
from gateway.pages.render import page, see_other
from gateway.pages.session import posted, signed_in, world_of
from registry.catalogue import PORTAL_PATH
from registry.database import Concern

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn


def show(request: Request) -> Response:
    """GET /"""
    settings, me = world_of(request).settings, signed_in(request)
    url = settings.base_url + PORTAL_PATH
    mine = _mine(request, me, url) if me else {}
    return page(request, "home.html", url=url, setups=setups(url), secure=settings.secure, **mine)


@for_person
def revoke(request: Request, me: SignedIn) -> Response:
    """POST /account/clients/revoke: the client's tokens end at once and its consent is forgotten."""
    form = posted(request)
    client, office, who = form.get("client", ""), world_of(request).office, me.person.label
    with office.change("client.disconnected", Concern.CUTOFFS, who=who, client=client, address=address_of(request)) as (
        session,
        facts,
    ):
        facts["families"] = disconnect(session, me.person.id, client, time.time())
        session.execute(delete(Consent).where(col(Consent.person) == me.person.id, col(Consent.client) == client))
    return see_other("/#clients")


def _mine(request: Request, me: SignedIn, resource: str) -> dict[str, Any]:
    """Everything under one snapshot; a person who is not in it yet was added within the last second."""
    world = world_of(request)
    snapshot = world.snapshots.current
    member = snapshot.members.get(me.person.id)
    principal = None if member is None else me.principal(member, resource, time.time())
    with world.office.database.read() as session:
        clients = connected(session, me.person.id)
        waiting = [one for one in accounts_of(session, snapshot, principal, me.person.id) if one.waits]
    if principal is None:
        return {"shelves": [], "paused": [], "clients": clients, "waiting": []}
    return {
        "waiting": waiting,
        "shelves": shelves(snapshot, principal),
        "paused": paused(snapshot.catalogue.paused, snapshot.policy, principal),
        "clients": clients,
    }
