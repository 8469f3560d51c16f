"""A person's tokens for clients that cannot do OAuth: made here, shown once, ended here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.errors import AccountRefused, ScopeRefused
from authz.scopes import ALL
from authz.tokens import personal
from gateway.oauth.answering import spread
from gateway.oauth.resources import find_resource
from gateway.pages.gate import address_of, for_person
from gateway.pages.render import message, page, see_other
from gateway.pages.session import posted, world_of
from gateway.problems import sentence
from registry.database import Concern

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn


@for_person
def show(request: Request, me: SignedIn) -> Response:
    """GET /account/tokens"""
    return _page(request, me)


@for_person
def create(request: Request, me: SignedIn) -> Response:
    """POST /account/tokens: the one time that the token is shown."""
    form = posted(request)
    if not world_of(request).settings.personal_tokens:
        return message(request, 403, "Not here", "Personal tokens are switched off here. Ask an administrator.")
    try:
        made = _made(request, me, form)
    except (AccountRefused, ScopeRefused) as refused:
        return _page(request, me, error=sentence(str(refused)), status=400)
    spread(world_of(request))  # it is pasted at once
    return _page(request, me, made=made)


@for_person
def end(request: Request, me: SignedIn) -> Response:
    """POST /account/tokens/end"""
    form = posted(request)
    id_, office = form.get("token", ""), world_of(request).office
    facts = {"token_id": id_, "address": address_of(request)}
    try:
        with office.change("personal.ended", Concern.PERSONAL, Concern.CUTOFFS, who=me.person.label, **facts) as (
            session,
            _,
        ):
            row = personal.find(session, id_)
            if row.person != me.person.id:
                raise AccountRefused("not yours")  # noqa: TRY301 - the same answer as for one that never was
            personal.end(session, row, time.time())
    except AccountRefused:
        return message(request, 404, "No such token", "You have no such token; it may have ended already.")
    return see_other("/account/tokens")


def _made(request: Request, me: SignedIn, form: Mapping[str, str]) -> str:
    world, days = world_of(request), form.get("days", "")
    resource = find_resource(world.settings.base_url, form.get("resource"), world.snapshots.current)
    if resource is None or not days.isdecimal():
        raise AccountRefused("choose one of the addresses that are offered, and a number of days")
    scope, name, who = " ".join(form.get("scope", "").split()) or ALL, form.get("name", ""), me.person.label
    with world.office.change("personal.created", Concern.PERSONAL, who=who, address=address_of(request)) as (
        session,
        facts,
    ):
        row, secret = personal.make(
            session, me.person.id, name, scope=scope, resource=resource, days=int(days[:4]), now=time.time()
        )
        facts |= {"token_id": row.id, "name": row.name, "resource": resource, "scope": row.scope, "days": days[:4]}
    return secret


def _page(request: Request, me: SignedIn, *, made: str = "", error: str = "", status: int = 200) -> Response:
    world = world_of(request)
    with world.office.database.read() as session:
        tokens = personal.alive(session, me.person.id, time.time())
    return page(
        request,
        "tokens.html",
        status=status,
        tokens=tokens,
        made=made,
        error=error,
        url=find_resource(world.settings.base_url, None, world.snapshots.current),
        allowed=world.settings.personal_tokens,
        days=personal.DAYS,
        most_days=personal.MOST_DAYS,
    )
