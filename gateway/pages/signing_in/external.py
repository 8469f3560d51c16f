"""Signing in with an identity provider: leaving for it, and coming back as somebody.

Each provider has addresses of its own, so that an answer of one never passes for another's (RFC 9700 section 4.4).
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from authz.errors import ReturnRefused, SignInRefused
from authz.neighbours import neighbourhood
from authz.people import departures, throttle
from authz.people.departures import Journey
from gateway.identity.providers import title_of
from gateway.oauth.answering import count
from gateway.oauth.asking import read_query
from gateway.oauth.browser.stepping_up import AGAIN
from gateway.oauth.problems import Refused
from gateway.pages.forms import FormRefused, read_form
from gateway.pages.gate import address_of, own_path
from gateway.pages.render import message, not_found, page, see_other
from gateway.pages.session import (
    give_departure,
    held_departure,
    posted,
    take_departure,
    world_of,
)
from gateway.pages.signing_in.arriving import admit_external, record_problem, refusal
from gateway.pages.signing_in.leaving import leave_for
from idp_adapters.config import KINDS
from idp_adapters.contract import Arrival, Asking, IdentityProblem, IdentityRefused, Redirecting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from authz.tables import Provider as ProviderRow
    from gateway.identity.providers import Opened

PER_MINUTE: Final = 120  # departures of one address: an office behind one is many people


def begin(request: Request) -> Response:
    """GET /signin/{slug}: to the provider, or to a form for the password there."""
    following = own_path(request.query_params.get("next", "/"))
    row = world_of(request).providers.find(request.path_params["slug"])
    if row is None:
        return not_found(request)
    try:
        opened = world_of(request).providers.open(row)
        if isinstance(opened.adapter, Redirecting):
            return _depart(request, opened, opened.adapter, following)
    except IdentityProblem as problem:
        return refusal(request, row.slug, problem)
    return _form(request, opened.slug, title_of(row), following)


def submit(request: Request) -> Response:
    """POST /signin/{slug}: a name and a password for a provider that asks for them."""
    form = posted(request)
    return ask(
        request,
        request.path_params["slug"],
        form.get("handle", ""),
        form.get("password", ""),
        own_path(form.get("next", "/")),
    )


def ask(request: Request, slug: str, login: str, password: str, following: str) -> Response:
    """Whether the provider knows them together; guesses are counted as for passwords of ours."""
    world, address, now = world_of(request), address_of(request), time.time()
    key = f"{login.strip().lower()}\n{slug}"
    try:
        opened = world.providers.get(slug)
        if not isinstance(opened.adapter, Asking):
            return not_found(request)
        throttle.count_attempt(world.office.database, key, address, now)
        identity = opened.adapter.authenticate(login.strip(), password)
    except SignInRefused as paused:
        world.journal.refused_unauthenticated(address, reason="signin_throttled", provider=slug)
        return _form(request, slug, opened.title, following, login, str(paused), 429, paused.retry_after)
    except IdentityRefused as refused:
        record_problem(request, slug, refused)
        return _form(request, slug, opened.title, following, login, str(refused), 403)
    except IdentityProblem as problem:
        throttle.take_back(world.office.database, key, address)
        return refusal(request, slug, problem)
    throttle.take_back(world.office.database, key, address)
    return admit_external(request, opened, identity, following)


def lead(request: Request, row: ProviderRow, form: Mapping[str, str], following: str) -> Response:
    """By the e-mail address that was typed on the page of all: to the provider of its domain."""
    if KINDS[row.kind].asks:
        return ask(request, row.slug, form.get("handle", ""), form.get("password", ""), following)
    title, text = f"On to {title_of(row)}", "One moment: there you say who you are."
    there = f"/signin/{row.slug}?next={quote(following, safe='')}"
    return page(request, "continue.html", next=there, title=title, text=text)


def come_back(request: Request) -> Response:
    """GET /signin/{slug}/callback"""
    slug = request.path_params["slug"]
    query: str = request.scope.get("query_string", b"").decode("latin-1")
    try:
        parameters = read_query(query.encode("latin-1"))
    except Refused as refused:
        raise FormRefused("What the provider sent back cannot be read.") from refused
    office, browser, state = world_of(request).office, held_departure(request), _state(parameters)
    with office.database.read() as session:
        if not departures.awaited(session, state):
            return _not_ours(request, ReturnRefused("state_unknown"))
    journey: Journey | ReturnRefused
    with office.database.change() as session:
        try:
            journey = departures.take(session, office.vault, state, browser=browser, provider=slug, now=time.time())
        except ReturnRefused as refused:  # inside, so that what was presented stays spent
            journey = refused
    return _arrive(request, journey, query, parameters, "GET")


def posted_back(request: Request) -> Response:
    """POST /signin/{slug}/callback: from another site, so without our cookie. It is fetched with a GET of our own."""
    slug, office = request.path_params["slug"], world_of(request).office
    parameters = read_form(request)
    state = _state(parameters)
    with office.database.read() as session:
        if not departures.awaited(session, state):
            return _not_ours(request, ReturnRefused("state_unknown"))
    with office.database.change() as session:
        ticket = departures.park(session, office.vault, state, provider=slug, answer=parameters, now=time.time())
    if ticket is None:
        return _not_ours(request, ReturnRefused("state_unknown"))
    return see_other(f"/signin/{slug}/finish?ticket={ticket}")


def finish(request: Request) -> Response:
    """GET /signin/{slug}/finish"""
    slug, office, browser = request.path_params["slug"], world_of(request).office, held_departure(request)
    ticket = request.query_params.get("ticket", "")
    with office.database.read() as session:
        if not departures.has_answer(session, ticket):
            return _not_ours(request, ReturnRefused("ticket_unknown"))
    parameters: dict[str, str] = {}
    journey: Journey | ReturnRefused
    with office.database.change() as session:
        try:
            journey, parameters = departures.fetch(
                session, office.vault, ticket, browser=browser, provider=slug, now=time.time()
            )
        except ReturnRefused as refused:
            journey = refused
    return _arrive(request, journey, "", parameters, "POST")


def callback_of(request: Request, slug: str) -> str:
    """The one address that a provider's answers come to."""
    return f"{world_of(request).settings.base_url}/signin/{slug}/callback"


def _depart(request: Request, opened: Opened, adapter: Redirecting, following: str) -> Response:
    world, now = world_of(request), time.time()
    if count(world, f"departures:{neighbourhood(address_of(request))}", 60.0) > PER_MINUTE:
        return message(request, 429, "One moment", "Too many sign-ins were begun from your address. Wait a minute.")
    state, browser = secrets.token_urlsafe(32), held_departure(request) or secrets.token_urlsafe(32)
    departure = adapter.depart(callback_of(request, opened.slug), state, again=AGAIN in following)
    with world.office.database.change() as session:
        departures.remember(
            session,
            world.office.vault,
            state,
            browser=browser,
            provider=opened.slug,
            journey=Journey(following=following, kept=departure.kept),
            now=now,
        )
    response = leave_for(request, departure, f"On to {opened.title}", "One moment: there you say who you are.")
    give_departure(response, world.settings, browser)
    return response


def _arrive(
    request: Request, journey: Journey | ReturnRefused, query: str, parameters: dict[str, str], method: str
) -> Response:
    if isinstance(journey, ReturnRefused):
        return _not_ours(request, journey)
    slug, world = request.path_params["slug"], world_of(request)
    arrival = Arrival(method=method, url=callback_of(request, slug), query=query, parameters=parameters)
    try:
        opened = world.providers.get(slug)
        if not isinstance(opened.adapter, Redirecting):
            return not_found(request)
        identity = opened.adapter.arrive(arrival, journey.kept)
    except IdentityProblem as problem:
        return refusal(request, slug, problem)
    return admit_external(request, opened, identity, journey.following)


def _not_ours(request: Request, refused: ReturnRefused) -> Response:
    """T-24: nothing is kept of it, and the browser forgets what it was bound to."""
    world = world_of(request)
    world.journal.refused_unauthenticated(
        address_of(request), reason=f"signin.{refused.reason}", path=request.scope["path"]
    )
    response = message(request, 400, "This did not work", f"{refused} Go to the portal and sign in anew.")
    take_departure(response, world.settings)
    return response


def _state(parameters: dict[str, str]) -> str:
    """As OpenID Connect and as SAML call it."""
    return parameters.get("state") or parameters.get("RelayState") or ""


def _form(
    request: Request,
    slug: str,
    title: str,
    following: str,
    handle: str = "",
    error: str = "",
    status: int = 200,
    retry_after: int = 0,
) -> Response:
    response = page(
        request, "provider.html", status=status, slug=slug, title=title, next=following, handle=handle, error=error
    )
    if retry_after:
        response.headers["retry-after"] = str(retry_after)
    return response
