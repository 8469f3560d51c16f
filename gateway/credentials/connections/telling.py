"""What becomes of connections is put on record, and what a person should know of it is told to the webhook as well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from authz.tables import Client, Person
from gateway.journal import GATEWAY
from gateway.notices import tell

if TYPE_CHECKING:
    from sqlmodel import Session

    from gateway.office import Office
    from registry.tables import Connection

TOLD: Final = frozenset({"connection.expiring", "connection.failed", "connection.app_expiring"})
SHARED: Final = "shared"


def note(
    session: Session,
    event: str,
    office: Office,
    row: Connection,
    *,
    who: str = GATEWAY,
    told: bool = False,
    **facts: Any,
) -> None:
    """On record; what has to be told leaves with the transaction, for `gateway.notices.webhook` to deliver."""
    about = {"server": row.server, "account": label(session, row.subject), "state": row.state, **facts}
    session.flush()
    office.journal.note(event, who=who, **about)
    if told or event in TOLD:
        data = about | {"ends_at": row.ends_at or row.expires_at}
        tell(session, office.settings.webhook_url, event, data, row.changed_at)


def label(session: Session, subject: str) -> str:
    """Whose account it is, as records name people."""
    if not subject:
        return SHARED
    person = session.get(Person, subject)
    if person is not None:
        return person.label
    agent = session.get(Client, subject)
    return agent.label if agent is not None else subject
