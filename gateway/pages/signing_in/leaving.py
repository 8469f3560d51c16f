"""Signing out here and there: the provider is told when somebody leaves us, and we hear when they leave it."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from authz.people import external
from authz.people.sessions import end_session
from authz.tables import ForeignSession, Person
from gateway.identity.keeping import kept
from gateway.oauth.asking import read_query
from gateway.oauth.problems import Refused
from gateway.pages.forms import FormRefused, read_form
from gateway.pages.gate import address_of
from gateway.pages.render import HEADERS, not_found, page, see_other
from gateway.pages.session import posted, signed_in, take_session, world_of
from gateway.pages.signing_in.arriving import record_problem, refusal
from idp_adapters.contract import Arrival, IdentityProblem, LoggingOut, ProviderDown, Publishing
from registry.database import Concern
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from starlette.requests import Request

    from authz.people.sessions import SignedIn
    from gateway.identity.providers import Opened
    from idp_adapters.contract import Departure, Ended


def leave_for(request: Request, departure: Departure, title: str, text: str, *, after_form: bool = False) -> Response:
    """Where an adapter sends the browser. After a form of ours it goes by way of a page: see `form-action`."""
    if departure.form:
        parts = urlsplit(departure.url)
        return page(
            request, "depart.html", form_action=f"{parts.scheme}://{parts.netloc}",
            url=departure.url, fields=departure.form, title=title, text=text,
        )  # fmt: skip
    if after_form:
        return page(request, "continue.html", next=departure.url, title=title, text=text)
    return see_other(departure.url)


def sign_out(request: Request) -> Response:
    """POST /signout: here at once, and then at the provider, if that is where the session came from."""
    posted(request)
    me, departure = signed_in(request), None
    if me is not None:
        departure = _departure(request, me)
        _end(request, me)
    if departure is None:
        response = see_other("/")
    else:
        text = "You are signed out here. One moment: you are signed out there too."
        response = leave_for(request, departure, "You are signed out", text, after_form=True)
    take_session(response, world_of(request).settings)
    return response


def hear(request: Request) -> Response:
    """GET and POST /signin/{slug}/logout: the provider ended sessions, or answers that it did as we asked.

    OpenID Connect Back-Channel Logout 1.0 section 2.8: 200 when done, 400 when it is not a logout token.
    """
    slug, world = request.path_params["slug"], world_of(request)
    direct = request.method == "POST"
    try:
        opened = world.providers.get(slug)
        if not isinstance(opened.adapter, LoggingOut):
            return not_found(request)
        arrival = _arrival(request, slug)
        if not direct and not _says_something(arrival):
            return see_other("/")  # back from a provider that says nothing about it
        ended = opened.adapter.hear(arrival)
    except IdentityProblem as problem:
        return _not_heard(request, slug, problem)
    return see_other("/") if ended is None else _heard(request, opened, ended)


def publish(request: Request) -> Response:
    """GET /signin/{slug}/metadata: what the provider's administrator is given of us."""
    try:
        opened = world_of(request).providers.get(request.path_params["slug"])
        if not isinstance(opened.adapter, Publishing):
            return not_found(request)
        body = opened.adapter.metadata()
    except IdentityProblem as problem:
        return refusal(request, request.path_params["slug"], problem)
    return Response(body, media_type=opened.adapter.media_type, headers=HEADERS)


def _heard(request: Request, opened: Opened, ended: Ended) -> Response:
    office = world_of(request).office
    with office.database.change(Concern.CUTOFFS) as session:
        rows = external.end(session, opened.slug, ended, time.time())
        people = sorted({session.get_one(Person, row.person).handle for row in rows})
        for handle in people:
            office.journal.note(
                "signout", who=f"user:{handle}", provider=opened.slug, method="provider", address=address_of(request),
                sessions=sum(session.get_one(Person, row.person).handle == handle for row in rows),
            )  # fmt: skip
    if ended.answer is not None:
        return leave_for(request, ended.answer, "You are signed out", "One moment: back to where you came from.")
    return Response(status_code=200, headers=HEADERS)


def _not_heard(request: Request, slug: str, problem: IdentityProblem) -> Response:
    if request.method == "GET":
        return refusal(request, slug, problem)
    record_problem(request, slug, problem)
    down = isinstance(problem, ProviderDown)
    body = {"error": "temporarily_unavailable" if down else "invalid_request"}
    return JSONResponse(body, 503 if down else 400, headers=HEADERS)


def _departure(request: Request, me: SignedIn) -> Departure | None:
    """Where the provider's session is ended; a provider that is down keeps nobody from signing out here."""
    office = world_of(request).office
    with office.database.read() as session:
        row = session.get(ForeignSession, me.session)
    if row is None or not row.keep:
        return None
    back = f"{office.settings.base_url}/signin/{row.provider}/logout"
    try:
        adapter = world_of(request).providers.get(row.provider).adapter
        if not isinstance(adapter, LoggingOut):
            return None
        return adapter.leave(kept(office, row), back, secrets.token_urlsafe(16))
    except IdentityProblem as problem:
        record_problem(request, row.provider, problem)
        return None
    except SecretRefused:  # what was kept opens no more: there is nothing to leave with
        return None


def _end(request: Request, me: SignedIn) -> None:
    office = world_of(request).office
    with office.change("signout", who=me.person.label, address=address_of(request)) as (session, _):
        external.forget_session(session, me.session)
        end_session(session, me.session)


def _arrival(request: Request, slug: str) -> Arrival:
    url = f"{world_of(request).settings.base_url}/signin/{slug}/logout"
    if request.method == "POST":
        return Arrival(method="POST", url=url, parameters=read_form(request))
    query: bytes = request.scope.get("query_string", b"")
    try:
        parameters = read_query(query)
    except Refused as refused:
        raise FormRefused("What the provider sent cannot be read.") from refused
    return Arrival(method="GET", url=url, query=query.decode("ascii"), parameters=parameters)


def _says_something(arrival: Arrival) -> bool:
    return bool(arrival.parameters.keys() - {"state"})
