"""Connected accounts whose token could not be renewed when it had to be: that may pass, and is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlmodel import col, select

from registry.tables import Connection, ConnectionState

if TYPE_CHECKING:
    from sqlmodel import Session


class Late(NamedTuple):
    """Of one server: how many they are, and why it did not work with the last of them."""

    many: int
    why: str

    def __str__(self) -> str:
        return f"{self.many} of its accounts could not be renewed ({self.why}); that is tried again by itself"


def late(session: Session, slug: str = "") -> dict[str, Late]:
    """By server."""
    query = select(Connection.server, Connection.why)
    query = query.where(Connection.attempts > 0, Connection.state == ConnectionState.REFRESHING)
    if slug:
        query = query.where(Connection.server == slug)
    found: dict[str, Late] = {}
    for server, why in session.exec(query.order_by(col(Connection.changed_at))):
        many = found[server].many if server in found else 0
        found[server] = Late(many + 1, why)
    return found


def renew(slug: str) -> str:
    """What to do about it."""
    return f"see that its authorization server answers; `ostiary connection list --server {slug}` says whose they are"
