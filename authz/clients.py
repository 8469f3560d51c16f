"""OAuth clients, the software through which somebody asks; they can narrow what a token does and never widen it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlmodel import or_, select

from authz.tables import Client
from authz.tokens import OPERATOR_CLIENT

if TYPE_CHECKING:
    from sqlmodel import Session


def load_clients(session: Session) -> frozenset[str]:
    """The ids of all that may be used now, the command line's own among them."""
    alive = or_(Client.expires_at.is_(None), Client.expires_at > time.time())  # type: ignore[union-attr,operator]
    rows = session.exec(select(Client.id).where(Client.disabled_at.is_(None), alive)).all()  # type: ignore[union-attr]
    return frozenset((*rows, OPERATOR_CLIENT))
