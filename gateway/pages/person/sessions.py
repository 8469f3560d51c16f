"""Where a person is signed in, and the way out of everything at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlmodel import col, select

from authz.errors import AccountRefused
from authz.people import revoking
from authz.tables import BrowserSession, Person
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, page, see_other
from gateway.pages.session import posted, take_session, world_of
from registry.database import Concern

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /account/sessions"""
    with world_of(request).office.database.read() as session:
        alive = (BrowserSession.person == me.person.id, col(BrowserSession.expires_at) > time.time())
        rows = session.exec(select(BrowserSession).where(*alive).order_by(col(BrowserSession.seen_at).desc())).all()
    return page(request, "sessions.html", sessions=rows, here=me.session, shown=revoking.SHOWN)


@for_person
def end(request: Request, me: SignedIn) -> Response:
    """POST /account/sessions/end: a browser, and the clients that were connected in it."""
    form = posted(request)
    office, name = world_of(request).office, form.get("session", "")
    facts = {"name": name[: revoking.SHOWN], "address": address_of(request)}
    try:
        with office.change("revoked.session", Concern.CUTOFFS, who=me.person.label, **facts) as (session, _):
            row = revoking.find_browser(session, name)
            if row.person != me.person.id:
                raise AccountRefused("not yours")  # noqa: TRY301 - the same answer as for one that never was
            revoking.of_browser(session, row, time.time())
    except AccountRefused:
        return message(request, 404, "No such session", "You are not signed in there; it may have ended already.")
    return see_other("/account/sessions")


@for_person
def end_all(request: Request, me: SignedIn) -> Response:
    """POST /account/sessions/end-all: browsers, clients, personal tokens, delegations; this browser too.

    Accounts at servers stay unless they are to go as well: whoever has lost a device has lost nothing of these, which
    are kept here, and would think twice if all had to be connected again.
    """
    form = posted(request)
    office, who = world_of(request).office, me.person.label
    facts = {"name": who, "address": address_of(request)}
    with office.change("revoked.person", Concern.CUTOFFS, Concern.PERSONAL, who=who, **facts) as (session, noted):
        person, accounts = session.get_one(Person, me.person.id), form.get("accounts") == "end"
        noted["ended"] = revoking.of_person(session, person, time.time(), accounts=accounts)
    response = see_other("/")
    take_session(response, office.settings)
    return response
