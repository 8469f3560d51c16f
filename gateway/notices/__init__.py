"""Notices: what an operator should hear of without looking, told to one URL of theirs (`webhook_url`).

A notice leaves with the transaction in which it happened, and `webhook` delivers it. What is told is on record too, and
is named there in the same way. Of connections `gateway.credentials.connections.telling` says what is told.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.ids import fresh_id
from registry.servers import find
from registry.tables import Notice, ServerState

if TYPE_CHECKING:
    from sqlmodel import Session

    from registry.observing import Observation

SUSPENDED: Final = "server.suspended"
HIDDEN: Final = "server.hidden"
KINDS: Final = {
    "connection.expiring": "an account at a server is about to end",
    "connection.failed": "an account at a server has ended, or cannot be renewed",
    "connection.app_expiring": "the secret of our own app at an authorization server ends",
    SUSPENDED: "nothing of a server is offered to anybody, whoever or whatever suspended it",
    HIDDEN: "a server says something else of a definition than was approved, so nobody is offered it",
    "notice.test": "somebody tried whether notices arrive",
}
SUSPENDING: Final = frozenset({SUSPENDED, "server.undeclared", "revoked.server"})  # as records name it
NAMES_MOST: Final = 50


def tell(session: Session, listened: str | None, event: str, data: dict[str, Any], at: float | None = None) -> None:
    """`listened` is where somebody listens; nothing where nobody does."""
    if listened is not None:
        session.add(written(event, data, time.time() if at is None else at))


def written(event: str, data: dict[str, Any], at: float) -> Notice:
    """As it is sent, for as long as it is not taken."""
    body = msgspec.json.encode({"type": event, "timestamp": datetime.fromtimestamp(at, UTC), "data": data})
    return Notice(id=f"msg_{fresh_id()}", body=body.decode(), at=at, due_at=at)


def tell_of_change(session: Session, listened: str | None, event: str, facts: dict[str, Any]) -> None:
    """Of what is put on record with this transaction, if that takes a server away from everybody."""
    if event in SUSPENDING:
        slug = facts.get("server") or facts.get("name", "")
        tell(session, listened, SUSPENDED, {"server": slug, "because": find(session, slug).suspended_because})


def tell_of_look(session: Session, listened: str | None, slug: str, seen: Observation) -> None:
    """Of what a look at a server has found. Of one that is suspended nothing is offered anyway."""
    server = find(session, slug)
    if seen.suspended:
        tell(session, listened, SUSPENDED, {"server": slug, "because": server.suspended_because})
    elif seen.hidden and server.state == ServerState.APPROVED:
        data = {"server": slug, "definitions": seen.hidden[:NAMES_MOST], "count": len(seen.hidden)}
        tell(session, listened, HIDDEN, data)
