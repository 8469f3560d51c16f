"""What becomes of connections is put on record, and what a person should know of it is told to the webhook as well."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from authz.ids import fresh_id
from authz.tables import Client, Person
from registry.tables import Notice

if TYPE_CHECKING:
    from sqlmodel import Session

    from gateway.office import Office
    from registry.tables import Connection

WHO: Final = "ostiary"
TOLD: Final = frozenset({"connection.expiring", "connection.failed", "connection.app_expiring"})
SHARED: Final = "shared"


def note(
    session: Session, event: str, office: Office, row: Connection, *, who: str = WHO, told: bool = False, **facts: Any
) -> None:
    """On record; what has to be told leaves with the transaction, for `webhook` to deliver."""
    about = {"server": row.server, "account": label(session, row.subject), "state": row.state, **facts}
    session.flush()
    office.journal.note(event, who=who, **about)
    if told or event in TOLD:
        enqueue(session, office, event, about | {"ends_at": row.ends_at or row.expires_at}, row.changed_at)


def enqueue(session: Session, office: Office, event: str, data: dict[str, Any], at: float) -> None:
    """Nothing where nobody listens."""
    if office.settings.webhook_url is None:
        return
    body = msgspec.json.encode({"type": event, "timestamp": datetime.fromtimestamp(at, UTC), "data": data})
    session.add(Notice(id=f"msg_{fresh_id()}", body=body.decode(), at=at, due_at=at))


def label(session: Session, subject: str) -> str:
    """Whose account it is, as records name people."""
    if not subject:
        return SHARED
    person = session.get(Person, subject)
    if person is not None:
        return person.label
    agent = session.get(Client, subject)
    return agent.label if agent is not None else subject
