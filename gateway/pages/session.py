"""Who the browser is, by its cookie, and proof that a form came from a page of ours.

Cookies count on pages alone: nothing under `/mcp`, `/servers` or `/oauth/token` looks at one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import SQLAlchemyError

from authz.people.departures import LIFE
from authz.people.sessions import SignedIn, find_session, keep_session
from gateway.edge import own_origins
from gateway.pages.forms import FormRefused, once, read_fields, read_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.settings import Settings
    from gateway.world import World

CSRF_FIELD: Final = "csrf"


def world_of(request: Request) -> World:
    world: World = request.app.state.world
    return world


def signed_in(request: Request) -> SignedIn | None:
    """Who is signed in with this browser; asked of the database once per request."""
    state: dict[str, Any] = request.scope.setdefault("state", {})
    if "signed_in" not in state:
        state["signed_in"] = _look_up(request)
    found: SignedIn | None = state["signed_in"]
    return found


def _look_up(request: Request) -> SignedIn | None:
    office = world_of(request).office
    token = request.cookies.get(session_cookie(office.settings), "")
    if not token:
        return None
    now = time.time()
    with office.database.read() as session:
        found = find_session(session, token, now)
    if found is not None and found.worn:
        with suppress(SQLAlchemyError), office.database.change() as session:  # a page is not worth less for it
            keep_session(session, found.session, now)
    return found


def session_cookie(settings: Settings) -> str:
    """`__Host-` binds a cookie to this host and to https; browsers differ about it on loopback http."""
    return "__Host-ostiary" if settings.secure else "ostiary"


def form_cookie(settings: Settings) -> str:
    return "__Host-ostiary-form" if settings.secure else "ostiary-form"


def departure_cookie(settings: Settings) -> str:
    """What a browser that was sent to a provider has to come back with."""
    return "__Host-ostiary-away" if settings.secure else "ostiary-away"


def held_departure(request: Request) -> str:
    return request.cookies.get(departure_cookie(world_of(request).settings), "")


def give_departure(response: Response, settings: Settings, value: str) -> None:
    _set(response, settings, departure_cookie(settings), value, int(LIFE))


def take_departure(response: Response, settings: Settings) -> None:
    _set(response, settings, departure_cookie(settings), "", 0)


def give_session(response: Response, settings: Settings, token: str) -> None:
    _set(response, settings, session_cookie(settings), token, settings.session_life)


def take_session(response: Response, settings: Settings) -> None:
    """Makes the browser forget; the session itself is ended in the database."""
    _set(response, settings, session_cookie(settings), "", 0)


def csrf_token(request: Request) -> str:
    """What a form of ours must send back: bound to this browser, and to the session if there is one."""
    settings = world_of(request).settings
    seed = request.cookies.get(form_cookie(settings), "") or _fresh_seed(request)
    session = request.cookies.get(session_cookie(settings), "")
    key = world_of(request).office.vault.key("csrf")
    return hmac.new(key, f"{seed}\n{session}".encode(), hashlib.sha256).hexdigest()


def _fresh_seed(request: Request) -> str:
    state: dict[str, Any] = request.scope.setdefault("state", {})
    seed: str = state.setdefault("form_seed", secrets.token_urlsafe(16))
    return seed


def keep_seed(request: Request, response: Response) -> None:
    """Gives the browser the cookie that a form on this page is bound to, if it has none yet."""
    seed = request.scope.get("state", {}).get("form_seed")
    if seed:
        settings = world_of(request).settings
        _set(response, settings, form_cookie(settings), seed, None)


def posted(request: Request) -> dict[str, str]:
    """The fields of a form on a page of ours. Raises FormRefused for any other (T-28)."""
    form = read_form(request)
    check_csrf(request, form)
    return form


def posted_with(request: Request, several: str) -> tuple[dict[str, str], list[str]]:
    """The same where one field, `several`, may come more than once; its values are apart, in order."""
    fields = read_fields(request)
    form = once([(name, value) for name, value in fields if name != several])
    check_csrf(request, form)
    return form, [value for name, value in fields if name == several]


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Raises FormRefused (403) unless the form came from a page of ours, in this browser."""
    if not _from_us(request) or not hmac.compare_digest(
        form.get(CSRF_FIELD, "").encode(), csrf_token(request).encode()
    ):
        raise FormRefused(
            "This form did not come from a page of ours, or is too old. Reload the page and send it again.", 403
        )


def _from_us(request: Request) -> bool:
    """Browsers say where a form comes from; where they say it, it must be here (Fetch Metadata, RFC 6454)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    return request.headers.get("origin") in {None, *own_origins(world_of(request).settings)}


def _set(response: Response, settings: Settings, name: str, value: str, life: int | None) -> None:
    response.set_cookie(name, value, max_age=life, path="/", secure=settings.secure, httponly=True, samesite="lax")
