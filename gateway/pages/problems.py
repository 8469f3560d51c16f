"""What a browser sees when something is refused or broken: the one map from our errors to pages."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.responses import PlainTextResponse

from authz.errors import SignInBusy
from gateway.journal import JournalDown
from gateway.pages.forms import FormRefused
from gateway.pages.render import HEADERS, message, not_found
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger("ostiary")


def form_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, FormRefused)
    return message(request, error.status, "This did not work", str(error))


def busy(request: Request, error: Exception) -> Response:
    return _later(message(request, 503, "One moment", str(error)), 5)


def journal_down(request: Request, _error: Exception) -> Response:
    """Nothing is done that is not on record."""
    text = "The record cannot be written, so nothing was changed. An operator has to look at the gateway's disk."
    return _later(message(request, 503, "Not now", text), 10)


def database_down(_request: Request, error: Exception) -> Response:
    """Without the database there is no saying who this is, so the answer is plain."""
    log.error("a page could not be made: %s", type(error).__name__)
    text = "The database cannot be reached. Nothing was changed; try again in a moment.\n"
    return _later(PlainTextResponse(text, 503, headers=HEADERS), 10)


def server_error(_request: Request, error: Exception) -> Response:
    log.error("a page broke: %s", type(error).__name__)
    return PlainTextResponse("Something broke on our side. It is in the gateway's log.\n", 500, headers=HEADERS)


def _later(response: Response, seconds: int) -> Response:
    response.headers["retry-after"] = str(seconds)
    return response


HANDLERS: Final[Mapping[Any, Any]] = {
    404: not_found,
    500: server_error,
    FormRefused: form_refused,
    SignInBusy: busy,
    JournalDown: journal_down,
    OperationalError: database_down,
    InterfaceError: database_down,
    NoConnection: database_down,
    RendezvousDown: database_down,
}
