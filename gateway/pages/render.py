"""From a template to an answer, with the headers that every page has."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.pages.assets import asset
from gateway.pages.session import CSRF_FIELD, csrf_token, keep_seed, signed_in, world_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.settings import Settings

HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # with `no-referrer` a browser posts our own forms with `Origin: null`
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


def page(request: Request, template: str, *, status: int = 200, form_action: str = "", **context: Any) -> HTMLResponse:
    """A page of ours; `form_action` names a source to which its form may lead besides ourselves.

    Browsers apply `form-action` to the redirects after a form as well (CSP Level 3, section 6.4.1), so a page whose
    form ends at a client's redirect URI has to name it.
    """
    html = ENVIRONMENT.get_template(template).render(
        me=signed_in(request),
        csrf_input=lambda: _csrf_input(request),
        base_url=world_of(request).settings.base_url,
        review_url=_review(world_of(request).settings),
        path=request.scope["path"],
        **context,
    )
    response = HTMLResponse(html, status, headers=HEADERS | {"content-security-policy": _policy(form_action)})
    keep_seed(request, response)
    return response


def _review(settings: Settings) -> str:
    """Where the review is, seen from our own pages: elsewhere only if it has a listener of its own."""
    return settings.review_url if settings.admin_listen else settings.review_url.removeprefix(settings.base_url)


def see_other(path: str) -> Response:
    """After a form: look there (RFC 9110 section 15.4.4)."""
    return RedirectResponse(path, 303, headers=HEADERS)


def to_sign_in(request: Request) -> Response:
    """Sign in, then come back to this very page."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    here = request.scope["path"] + (f"?{query}" if query else "")
    return see_other(f"/signin?next={quote(here, safe='')}")


def sign_in_again(request: Request, mark: str) -> Response:
    """The same for somebody who is signed in, but not as is wanted now; `mark` is a parameter for the way back."""
    query = request.scope.get("query_string", b"").decode("latin-1")
    here = f"{request.scope['path']}?{query}&{mark}"
    return see_other(f"/signin?again=1&next={quote(here, safe='')}")


def message(request: Request, status: int, title: str, text: str) -> HTMLResponse:
    """A page that says one thing."""
    return page(request, "message.html", status=status, title=title, text=text)


def not_found(request: Request, _error: Exception | None = None) -> Response:
    return message(request, 404, "No such page", "There is nothing at this address, or it is not for you.")


def _policy(form_action: str) -> str:
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action 'self'{' ' if form_action else ''}{form_action}"
    )


def _csrf_input(request: Request) -> Markup:
    return Markup('<input type="hidden" name="{}" value="{}">').format(CSRF_FIELD, csrf_token(request))


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at)) if at else "never"


def _iso(at: float | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if at else ""


def _said(text: str) -> Markup:
    """Our messages serve terminals too, and there a command stands between backticks; all of it is escaped first."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals["asset"] = asset
    environment.filters["when"] = _when
    environment.filters["iso"] = _iso
    environment.filters["said"] = _said
    return environment


ENVIRONMENT: Final = _environment()
