"""Signing in: with a password of ours, or on to where somebody's organisation has theirs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from authz.errors import SignInBusy, SignInRefused
from authz.people.signin import sign_in
from gateway.identity.providers import title_of
from gateway.pages.gate import address_of, own_path
from gateway.pages.render import page, see_other
from gateway.pages.session import posted, signed_in, world_of
from gateway.pages.signing_in import external
from gateway.pages.signing_in.arriving import record_refusal
from gateway.pages.signing_in.second_factor import admit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show(request: Request) -> Response:
    """GET /signin"""
    following = own_path(request.query_params.get("next", "/"))
    if signed_in(request) is not None and "again" not in request.query_params:
        return see_other(following)
    return _form(request, following)


def submit(request: Request) -> Response:
    """POST /signin"""
    form = posted(request)
    following, handle = own_path(form.get("next", "/")), form.get("handle", "").strip().lower()
    elsewhere = world_of(request).providers.of_domain(handle)
    if elsewhere is not None:
        return external.lead(request, elsewhere, form, following)
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


def _refused(
    request: Request, following: str, handle: str, error: str, retry_after: int, status: int = 403
) -> Response:
    response = _form(request, following, handle, error, status=429 if retry_after and status == 403 else status)
    if retry_after:
        response.headers["retry-after"] = str(retry_after)
    return response


def _form(request: Request, following: str, handle: str = "", error: str = "", status: int = 200) -> Response:
    rows = world_of(request).providers.listed()
    return page(
        request, "signin.html", status=status, next=following, handle=handle, error=error,
        providers=[(row.slug, title_of(row)) for row in rows], by_domain=any(row.domains for row in rows),
    )  # fmt: skip
