"""The account that a call uses: the connection of one person, or the shared one, as it is at this moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.credentials import ConnectionNeeded, CredentialTampered
from gateway.credentials.connections.telling import note
from registry.credentials import connection_states as states
from registry.credentials import connections

if TYPE_CHECKING:
    from gateway.credentials import CredentialUnavailable
    from gateway.credentials.equipment import Equipment
    from registry.catalogue import Upstream
    from registry.tables import Connection

ELSEWHERE = "the server is at another address now; connect it again"
NOT_AS_KEPT = "what is kept for it was changed, moved or put back; connect it again"


def account(equipment: Equipment, upstream: Upstream, subject: str) -> Connection:
    """Raises ConnectionNeeded when there is none that could be used; CredentialTampered for a shared one (T-92)."""
    with equipment.office.database.read() as session:
        row = connections.find(session, upstream.slug, subject)
    if row is None:
        raise needed(upstream, subject)
    if connections.is_alive(row):
        return row
    refused = needed(upstream, subject, row.why)
    raise CredentialTampered(str(refused)) if not subject and row.why == NOT_AS_KEPT else refused


def needed(upstream: Upstream, subject: str, why: str = "", scopes: frozenset[str] = frozenset()) -> ConnectionNeeded:
    """In the words of whoever has to act: the person, or for a shared account an administrator."""
    name = upstream.title or upstream.slug
    if not subject:
        text = f"the account that everybody uses at {name} is not connected: an administrator has to connect it"
    elif why:
        text = f"your account at {name} has to be connected again"
    else:
        text = f"you have to connect your account at {name} first"
    return ConnectionNeeded(upstream.slug, subject, f"{text} ({why})" if why else text, scopes=scopes)


def give_up(equipment: Equipment, upstream: Upstream, row: Connection, why: str) -> CredentialUnavailable:
    """Only a person can mend it: on record, told, and what to raise."""
    with equipment.office.database.change() as session:
        after = connections.step(session, row, lambda standing: states.needing(standing, why, equipment.clock()))
        if after is not None:
            note(session, "connection.failed", equipment.office, after, why=why)
    return needed(upstream, row.subject, why)


def tampered(equipment: Equipment, upstream: Upstream, row: Connection) -> CredentialUnavailable:
    """T-92: what is kept does not open. Nothing is sent, and of a shared one the whole server is suspended."""
    refused = give_up(equipment, upstream, row, NOT_AS_KEPT)
    return refused if row.subject else CredentialTampered(str(refused))
