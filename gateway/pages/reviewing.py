"""The administrator's review: which servers there are, what awaits approval, and the three acts upon it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from authz.people.accounts import admins
from gateway.operating.hidden import look
from gateway.operating.lately import Lately
from gateway.operating.standing import standings
from gateway.pages.connecting.accounts import ailing_at, held_at
from gateway.pages.definitions import shown
from gateway.pages.forms import read_fields
from gateway.pages.gate import address_of, for_admin
from gateway.pages.history import latest
from gateway.pages.render import not_found, page, see_other
from gateway.pages.session import check_csrf, posted, world_of
from registry import approving, reviewing, servers
from registry.approving import Approver
from registry.database import Concern
from registry.errors import NotApprovable, RegistryError, UnknownServer
from registry.tables import Auth, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.people.sessions import SignedIn
    from gateway.operating.standing import Standing
    from registry.reviewing import Key, Review
    from registry.tables import Server
COUNTED = 80  # blocks of the journal's index, a fifth of a second of a core that also takes calls
SHOWN = 300  # definitions in full on one page; what is not on the page cannot be ticked


@for_admin
def show_servers(request: Request, _me: SignedIn) -> Response:
    """GET /admin/servers"""
    world = world_of(request)
    with world.office.database.read() as session:
        standing = {one.slug: one for one in standings(session, world.settings.refresh_interval, Lately())}
        reviews = [reviewing.review(session, server.slug) for server in servers.all_servers(session)]
        ailing = ailing_at(session)
    reviews.sort(key=lambda review: (not review.awaiting, review.server.slug))
    return page(request, "servers.html", reviews=reviews, ailing=ailing, standing=standing)


@for_admin
def show_server(request: Request, _me: SignedIn) -> Response:
    """GET /admin/servers/{slug}"""
    return _server_page(request)


@for_admin
def approve(request: Request, me: SignedIn) -> Response:
    """POST /admin/servers/{slug}/approve: pins what was chosen, if all that awaited is still as it was shown."""
    fields = read_fields(request)
    check_csrf(request, dict(fields))
    slug, who, office = request.path_params["slug"], me.person.label, world_of(request).office
    try:
        with office.change("server.approved", Concern.CATALOGUE, who=who, server=slug, address=address_of(request)) as (
            session,
            facts,
        ):
            chosen, accepted = _chosen(reviewing.review(session, slug), fields)
            by = Approver(name=who, signed_in=True, admins=admins(session))
            done = approving.approve(session, slug, chosen, by=by, accept_findings=accepted)
            facts.update(done.facts(), findings_accepted=accepted, remark=done.remark)
    except RegistryError as refused:
        return _refused(request, refused)
    return see_other(f"{_address(slug)}?done=approved")


@for_admin
def suspend(request: Request, me: SignedIn) -> Response:
    """POST /admin/servers/{slug}/suspend"""
    form = posted(request)
    because = form.get("because", "").strip()[:500]
    return _step(
        request, me, "suspended", lambda session, slug: servers.suspend(session, slug, because), because=because
    )


@for_admin
def resume(request: Request, me: SignedIn) -> Response:
    """POST /admin/servers/{slug}/resume"""
    posted(request)
    return _step(request, me, "resumed", servers.resume)


def _step(
    request: Request,
    me: SignedIn,
    done: str,
    act: Callable[[Session, str], Server],
    **facts: str,
) -> Response:
    slug, office = request.path_params["slug"], world_of(request).office
    facts |= {"server": slug, "address": address_of(request)}
    try:
        with office.change(f"server.{done}", Concern.CATALOGUE, who=me.person.label, **facts) as (session, _):
            act(session, slug)
    except RegistryError as refused:
        return _refused(request, refused)
    return see_other(f"{_address(slug)}?done={done}")


def _chosen(review: Review, fields: list[tuple[str, str]]) -> tuple[dict[Key, str], bool]:
    """What was ticked, with the digests that were on the page; flagged ones only by their own box.

    The form names definitions by their place, and all digests at once by one SHA-256, so that a server with
    thousands of definitions still fits into a form.
    """
    if [value for name, value in fields if name == "shown"] != [fingerprint(review)]:
        raise NotApprovable("What awaits review has changed since this page was made. Look at it again.")
    places = {value for name, value in fields if name == "item"}
    chosen = [item for place, item in enumerate(review.awaiting[:SHOWN]) if str(place) in places]
    if not chosen:
        raise NotApprovable("Nothing was ticked, so nothing was approved.")
    return {item.key: item.digest for item in chosen}, any(item.flagged for item in chosen)


def fingerprint(review: Review) -> str:
    """All digests that await approval, in one; what the form hands back."""
    lines = "\n".join(f"{item.kind}\0{item.name}\0{item.digest}" for item in review.awaiting)
    flags = "".join("f" if item.flagged else "-" for item in review.awaiting)
    return hashlib.sha256(f"{flags}\n{lines}".encode()).hexdigest()


def _server_page(request: Request, error: str = "", status: int = 200) -> Response:
    slug = request.path_params["slug"]
    with world_of(request).office.database.read() as session:
        try:
            review = reviewing.review(session, slug)
        except UnknownServer:
            return not_found(request)
        context = _context(review) | {"history": latest(session, slug), "alone": admins(session) < 2}
        context["connections"] = held_at(session, slug)
        interval = world_of(request).settings.refresh_interval
        context["standing"] = _seen_here(
            standings(session, interval, Lately.of_the_last_hour(session, COUNTED), slug)[0]
        )
    done = request.query_params.get("done", "")
    return page(request, "server.html", status=status, error=error, done=done, **context)


def _seen_here(standing: Standing) -> Standing:
    """What changed stands on this very page, and only here can it be approved once there are two administrators."""
    here = "look at it below: what you approve is offered as it is now."
    return replace(standing, remedy=here) if standing.remedy == look(standing.slug) else standing


def _context(review: Review) -> dict[str, Any]:
    rest = [item for item in review.items if not item.awaits]
    return {
        "server": review.server,
        "States": ServerState,
        "fingerprint": fingerprint(review),
        "awaiting": [shown(item) for item in review.awaiting[:SHOWN]],
        "people": SHOWN,
        "connects": review.server.auth in {Auth.OAUTH_PERSON, Auth.OAUTH_SHARED},
        "reading": review.server.auth == Auth.OAUTH_PERSON,
        "awaiting_more": max(0, len(review.awaiting) - SHOWN),
        "rest": [shown(item) for item in rest[:SHOWN]],
        "rest_more": max(0, len(rest) - SHOWN),
    }


def _refused(request: Request, refused: RegistryError) -> Response:
    if isinstance(refused, UnknownServer):
        return not_found(request)
    text = str(refused)
    return _server_page(request, text[:1].upper() + text[1:], 409)


def _address(slug: str) -> str:
    return f"/admin/servers/{quote(slug, safe='')}"
