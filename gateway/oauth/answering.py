"""The frame around a token-side endpoint: refusals become RFC 6749 errors, what is down becomes 503, never more."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

from anyio import from_thread
from sqlalchemy.exc import SQLAlchemyError

from authz.errors import AuthzError
from gateway.clock import ClockMoved
from gateway.journal import JournalDown
from gateway.oauth.evidence import Evidence
from gateway.oauth.issuing import Desk
from gateway.oauth.problems import Refused
from gateway.oauth.replies import as_json, preflight, refusal
from gateway.pages.forms import FormRefused
from gateway.pages.gate import address_of
from gateway.pages.session import world_of
from gateway.rendezvous import RendezvousDown
from idp_adapters.contract import ProviderDown
from registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlmodel import Session
    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.world import World

PROPAGATION = 0.3  # seconds in which every process has looked at the epochs

DOWN = (ClockMoved, JournalDown, RendezvousDown, SQLAlchemyError, AuthzError, RegistryError, ProviderDown)


def endpoint(handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """A handler that may raise what `gateway.oauth.problems` names."""

    @functools.wraps(handler)
    def framed(request: Request) -> Response:
        if request.method == "OPTIONS":
            return preflight()
        answer = _answer(handler, request)
        if answer.status_code >= 400:
            world_of(request).telemetry.refused("oauth")
        return answer

    return framed


def _answer(handler: Callable[[Request], Response], request: Request) -> Response:
    try:
        return _recorded(handler, request)
    except Refused as refused:
        status, body, headers = refused()
        return as_json(status, body, dict(headers))
    except FormRefused as refused:
        return refusal(refused.status, "invalid_request", str(refused))
    except DOWN:
        return refusal(503, "temporarily_unavailable", "this cannot be done now; try again", retry_after=2)


def _recorded(handler: Callable[[Request], Response], request: Request) -> Response:
    try:
        return handler(request)
    except (Refused, FormRefused) as refused:
        word = refused.error if isinstance(refused, Refused) else "invalid_request"
        journal = world_of(request).journal
        journal.refused_unauthenticated(address_of(request), reason=f"oauth.{word}", path=request.scope["path"])
        raise


def new_desk(request: Request, session: Session, evidence: Evidence | None = None) -> Desk:
    world = world_of(request)
    return Desk(
        office=world.office,
        snapshot=world.snapshots.current,
        session=session,
        now=time.time(),
        address=address_of(request),
        evidence=evidence or Evidence(),
    )


def catch_up(world: World) -> None:
    """What is issued here is judged by the newest snapshot, and knows what was changed a moment ago."""
    from_thread.run(world.snapshots.refresh)


def spread(world: World) -> None:
    """After something new came to be that the next request needs: waits until every process knows of it."""
    catch_up(world)
    if world.settings.workers > 1 or world.settings.database_url is not None:
        time.sleep(PROPAGATION)


def count(world: World, key: str, window: float) -> int:
    """One more of `key` in the present window, in all processes together."""
    counted: Any = from_thread.run(world.rendezvous.count, key, window)
    return int(counted)
