"""Who asks, and what goes wrong: every SCIM request comes through here (RFC 7644 sections 2 and 3.12)."""

from __future__ import annotations

import functools
import json
import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from scim2_models import Error, SCIMException, UnauthorizedException
from sqlalchemy.exc import DataError, SQLAlchemyError
from starlette.responses import Response

from authz.errors import AuthzError
from authz.people.provisioning import provider_of
from gateway.journal import JournalDown
from gateway.pages.gate import address_of
from gateway.pages.session import world_of
from gateway.scim.words import service

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from authz.tables import Provider

    Handler = Callable[[Request, Provider], Response]

MEDIA_TYPE = "application/scim+json"
_TAKEN = {MEDIA_TYPE, "application/json"}
DEEPEST = 32  # JSON within JSON; a filter's own depth is bounded by its length


class TooManyRefusals(SCIMException):
    status = 429
    _default_detail = "Too many requests without a good token came from your address"


class WrongType(SCIMException):
    status = 415
    _default_detail = f"Send {MEDIA_TYPE}"


def scim(handler: Handler) -> Callable[[Request], Response]:
    """A handler for the SCIM client of one provider; whatever it raises becomes a SCIM error, and nothing else."""

    @functools.wraps(handler)
    def framed(request: Request) -> Response:
        try:
            with service():
                return handler(request, _asking(request))
        except SCIMException as refused:
            return answer(refused.to_error(), refused.status)
        except ValidationError as refused:
            error = Error.from_validation_errors(refused)[0]
            return answer(error, error.status or 400)
        except AuthzError as refused:
            return answer(Error(status=400, scim_type="invalidValue", detail=str(refused)), 400)
        except (RecursionError, UnicodeEncodeError, DataError):  # half a character (RFC 8259 section 8.2), or a null
            detail = "too deep, or with a character that no text has"
            return answer(Error(status=400, scim_type="invalidValue", detail=detail), 400)
        except (SQLAlchemyError, JournalDown):
            return answer(Error(status=503, detail="This cannot be done now; try again"), 503)

    return framed


def _asking(request: Request) -> Provider:
    """The provider whose token this is. There is no other way in: no cookie, no access token of ours."""
    world, address, patience = world_of(request), address_of(request), request.app.state.patience
    if patience.left(address):
        raise TooManyRefusals
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    with world.office.database.read() as session:
        found = provider_of(session, token if scheme.lower() == "bearer" else "", time.time())
    if found is None:
        patience.refused(address)
        world.telemetry.refused("scim")
        world.journal.refused_unauthenticated(address, reason="scim.token", path=request.scope["path"][:200])
        raise UnauthorizedException
    return found


def body_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TAKEN:
        raise WrongType
    try:
        text = request.state.form_body.decode()
        said = None if "\\u0000" in text else json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or _depth(said) > DEEPEST:
        from scim2_models import InvalidSyntaxException

        raise InvalidSyntaxException(detail="the body must be a JSON object in UTF-8, and not a deep one")
    return said


def _depth(value: Any) -> int:
    """How deep it is, without going deeper than is allowed."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        depth += 1
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [each for part in inner for each in part]
    return depth


def answer(content: Any, status: int = 200, **headers: str) -> Response:
    """`content` is a model of an error, or an answer that is ready to be sent."""
    said = content.model_dump() if isinstance(content, Error) else content
    body = b"" if said is None else json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="scim"'
    return Response(body, status, media_type=MEDIA_TYPE, headers={"cache-control": "no-store", **headers})
