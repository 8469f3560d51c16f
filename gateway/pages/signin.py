"""Signing in, signing out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.errors import SignInBusy, SignInRefused
from authz.sessions import begin_session, end_session
from authz.signin import sign_in
from gateway import clock
from gateway.pages.forms import read_form
from gateway.pages.gate import address_of, own_path
from gateway.pages.render import message, page, see_other
from gateway.pages.session import check_csrf, give_session, signed_in, take_session, world_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from authz.tables import Person


def show(request: Request) -> Response:
    """GET /signin"""
    following = own_path(request.query_params.get("next", "/"))
    if signed_in(request) is not None:
        return see_other(following)
    return _form(request, following)


def submit(request: Request) -> Response:
    """POST /signin"""
    form = read_form(request)
    check_csrf(request, form)
    following, handle = own_path(form.get("next", "/")), form.get("handle", "").strip().lower()
    try:
        person = sign_in(
            world_of(request).office.database, handle, form.get("password", ""), address_of(request), time.time()
        )
    except SignInRefused as refused:
        record_refusal(request, handle, refused)
        return _refused(request, following, handle, str(refused), refused.retry_after)
    except SignInBusy as busy:
        return _refused(request, following, handle, str(busy), 5, status=503)
    return admit(request, person, following)


def admit(request: Request, person: Person, following: str, amr: str = "pwd") -> Response:
    """A new session for this browser; the one it had ends, so that nobody's session can be planted here."""
    if clock.moved():
        return message(request, 503, "Nobody can sign in just now", clock.MOVED)
    office, before = world_of(request).office, signed_in(request)
    with office.change("signin", who=f"user:{person.handle}", address=address_of(request), method=amr) as (session, _):
        if before is not None:
            end_session(session, before.session)
        token = begin_session(
            session, person, now=time.time(), life=office.settings.session_life, amr=amr, address=address_of(request)
        )
    response = _onward(request, following)
    give_session(response, office.settings, token)
    return response


def sign_out(request: Request) -> Response:
    """POST /signout"""
    check_csrf(request, read_form(request))
    me, office = signed_in(request), world_of(request).office
    if me is not None:
        with office.change("signout", who=f"user:{me.person.handle}", address=address_of(request)) as (session, _):
            end_session(session, me.session)
    response = see_other("/")
    take_session(response, office.settings)
    return response


def _onward(request: Request, following: str) -> Response:
    """To an OAuth client by way of a page: `form-action` would stop a form that ends at a foreign address."""
    if following.startswith("/oauth/"):
        return page(request, "continue.html", next=following)
    return see_other(following)


def _refused(
    request: Request, following: str, handle: str, error: str, retry_after: int, status: int = 403
) -> Response:
    response = _form(request, following, handle, error, status=429 if retry_after and status == 403 else status)
    if retry_after:
        response.headers["retry-after"] = str(retry_after)
    return response


def _form(request: Request, following: str, handle: str = "", error: str = "", status: int = 200) -> Response:
    return page(request, "signin.html", status=status, next=following, handle=handle, error=error)


def record_refusal(request: Request, handle: str, refused: SignInRefused) -> None:
    """A name that nobody has is not written down: people type passwords into the wrong field."""
    journal, address = world_of(request).journal, address_of(request)
    if refused.reason == "throttled":  # as often as somebody likes to come: counted, not written one by one
        journal.refused_unauthenticated(address, reason="signin_throttled")
        return
    known = refused.reason in {"wrong_password", "disabled"}
    who = f"user:{handle}" if known else "nobody"
    journal.note("signin.refused", who=who, reason=refused.reason, address=address)
