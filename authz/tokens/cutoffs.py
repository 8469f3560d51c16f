"""Cut-offs: from a moment on, nothing issued before it to a person, a client, a family or as one token counts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlmodel import select

from authz.tables import CutOff
from registry.database import ensure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlmodel import Session

KEPT = 200 * 86400.0  # longer than any refresh family may live: the row may go when nothing can be cut by it


class Cut(StrEnum):
    """What can be cut off at once."""

    PERSON = "person"  # key: a person's or agent's id, the `sub` of a token
    CLIENT = "client"  # key: a client id
    FAMILY = "family"  # key: what one sign-in of one client has led to
    DELEGATION = "delegation"  # key: its id, the `dlg` of a token
    CONNECTION = "connection"  # key: a server and whose account at it was connected
    TOKEN = "token"  # key: a `jti`  # noqa: S105 - a kind, not a secret


@dataclass(frozen=True, slots=True)
class CutOffs:
    """All of them, by (kind, key)."""

    moments: Mapping[tuple[str, str], float]

    def cuts(self, kind: Cut, key: str, issued_at: float) -> bool:
        """Whether something issued to `key` at `issued_at` is over. In the very second of the cut: yes."""
        moment = self.moments.get((kind, key))
        return moment is not None and issued_at <= moment


def load_cutoffs(session: Session) -> CutOffs:
    now = time.time()
    rows = session.exec(select(CutOff).where(CutOff.until > now)).all()
    return CutOffs({(row.kind, row.key): row.at for row in rows})


def cut_off(session: Session, kind: Cut, key: str, *, now: float | None = None, life: float = KEPT) -> None:
    """Ends everything issued to `key` so far. The transaction must move the epoch of `Concern.CUTOFFS`.

    A cut never moves back: with clocks that differ, the later one of two would give life to what the first ended.
    """
    moment = time.time() if now is None else now
    row = ensure(session, CutOff(kind=kind, key=key, at=moment, until=moment + life))
    row.at, row.until = max(row.at, moment), max(row.until, moment + life)


def is_cut(session: Session, kind: Cut, key: str, issued_at: float) -> bool:
    """The same question as `CutOffs.cuts`, asked of the database within a transaction that is about to issue."""
    row = session.get(CutOff, (kind, key))
    return row is not None and issued_at <= row.at
