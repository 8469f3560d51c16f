"""Delegations: a person lets an agent act for them with these things, until then, so many times.

Whatever is done under one is asked of both, so nobody gets by it what they, or the other, may not do. A delegation that
has ended never leads to a token again, and the tokens that it led to end with it. Everything works inside the caller's
transaction, which moves the epoch of `Concern.CUTOFFS` where a delegation ends.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlmodel import col, or_, select, update

from authz.errors import DelegationOver, DelegationRefused
from authz.scopes import ALL, write_scope
from authz.tables import Client, Delegation, Person
from authz.tokens.claims import LEEWAY, LONGEST_LIFE
from authz.tokens.cutoffs import Cut, cut_off, is_cut

if TYPE_CHECKING:
    from sqlmodel import Session

LONGEST = 180 * 86400.0  # seconds; shorter than a cut-off of its person or agent is kept
USUAL = 30 * 86400.0
MOST_USES = 1_000_000
LONGEST_REASON = 200
AFTER = 60.0  # seconds: it never leads to a token again, so its cut may reach past whatever clocks differ by


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A delegation as somebody wants it. `uses` counts tokens; None is as many as the agent asks for."""

    person: Person
    agent: Client
    scopes: frozenset[str]
    expires_at: float
    uses: int | None = None
    reason: str = ""


def delegate(session: Session, draft: Draft, *, who: str, now: float) -> Delegation:
    """The delegation, made. Raises DelegationRefused with a sentence that says what would be accepted."""
    _check(draft, now)
    row = Delegation(
        id=f"dlg_{secrets.token_hex(16)}",
        person=draft.person.id,
        agent=draft.agent.id,
        scope=write_scope(draft.scopes),
        reason=draft.reason.strip(),
        uses_left=draft.uses,
        created_at=now,
        created_by=who,
        expires_at=draft.expires_at,
    )
    session.add(row)
    session.flush()
    return row


def find(session: Session, delegation: str) -> Delegation:
    row = session.get(Delegation, delegation)
    if row is None:
        raise DelegationRefused(f"there is no delegation {delegation[:80]!r}; `ostiary delegation list` shows them")
    return row


def given(session: Session, *, person: str = "", agent: str = "") -> list[Delegation]:
    """The newest first; of one person, of one agent, or all."""
    rows = select(Delegation).order_by(col(Delegation.created_at).desc(), col(Delegation.id))
    if person:
        rows = rows.where(Delegation.person == person)
    if agent:
        rows = rows.where(Delegation.agent == agent)
    return list(session.exec(rows))


def state(session: Session, row: Delegation, now: float) -> str:
    """`active`, or in a word why it leads to no token any more."""
    if row.ended_at is not None or _cut(session, row):
        return "ended"
    if row.expires_at <= now:
        return "expired"
    return "used up" if row.uses_left == 0 else "active"


def usable(session: Session, delegation: str, agent: str, now: float) -> Delegation:
    """The delegation, if this agent may use it now. Raises DelegationOver; to anybody else it does not exist."""
    row = session.get(Delegation, delegation)
    if row is None or row.agent != agent:
        raise DelegationOver("there is no such delegation to this agent")
    found = state(session, row, now)
    if found != "active":
        raise DelegationOver(f"this delegation is {found}; the person who gave it can give another")
    return row


def take(session: Session, row: Delegation, now: float) -> None:
    """One use; of two at once that want the last, one gets it and the other DelegationOver."""
    taken = session.execute(
        update(Delegation)
        .where(
            col(Delegation.id) == row.id,
            col(Delegation.ended_at).is_(None),
            col(Delegation.expires_at) > now,
            or_(col(Delegation.uses_left).is_(None), col(Delegation.uses_left) > 0),
        )
        .values(uses_left=Delegation.uses_left - 1, last_used_at=now)  # type: ignore[operator]  # NULL stays NULL
        .execution_options(synchronize_session=False)
    )
    if taken.rowcount != 1:  # type: ignore[attr-defined]
        raise DelegationOver("this delegation is used up or ended; the person who gave it can give another")


def end(session: Session, row: Delegation, now: float) -> None:
    """No token by it any more, and those that are out are refused."""
    row.ended_at = row.ended_at or now
    session.add(row)
    cut_off(session, Cut.DELEGATION, row.id, now=now + AFTER, life=LONGEST_LIFE + 2 * LEEWAY)


def _check(draft: Draft, now: float) -> None:
    problems = [
        *([] if draft.person.disabled_at is None else ["the person is disabled"]),
        *([] if draft.agent.disabled_at is None else ["the agent is disabled"]),
        *([] if draft.scopes and ALL not in draft.scopes else ["name the tools (server.tool) or servers (server.*)"]),
        *([] if now < draft.expires_at <= now + LONGEST else [f"it may last {LONGEST // 86400:.0f} days at most"]),
        *([] if draft.uses is None or 0 < draft.uses <= MOST_USES else [f"uses: 1 to {MOST_USES}, or no limit"]),
        *([] if len(draft.reason) <= LONGEST_REASON and draft.reason.isprintable() else [_REASON]),
    ]
    if problems:
        raise DelegationRefused("; ".join(problems))


def _cut(session: Session, row: Delegation) -> bool:
    """Whether the person or the agent has been cut off since: what was given before stays ended."""
    held = ((Cut.PERSON, row.person), (Cut.PERSON, row.agent), (Cut.CLIENT, row.agent), (Cut.DELEGATION, row.id))
    return any(is_cut(session, kind, key, row.created_at) for kind, key in held)


_REASON = f"reason: at most {LONGEST_REASON} printable characters on one line"
