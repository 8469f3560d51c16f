"""Ending what somebody holds: of a person, an agent, a client, a browser, one token. Who they are is left as it is.

Everything works inside the caller's transaction, which moves the epochs of `Concern.CUTOFFS` and `Concern.PERSONAL`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlmodel import col, delete, select, update

from authz.errors import AccountRefused
from authz.people.sessions import end_session, end_sessions
from authz.tables import BrowserSession, Code, Consent, Delegation, PersonalToken, RefreshToken, ScimToken
from authz.tokens import delegations, families, personal
from authz.tokens.cutoffs import Cut, cut_off
from registry.credentials import connections

if TYPE_CHECKING:
    from sqlmodel import Session

    from authz.tables import Client, Person

DISCONNECTED = "it went with all that you held here; connect it again to use it"
SHOWN = 12  # characters of a browser session's hash by which people name it


def of_person(session: Session, person: Person, now: float, *, but: str = "", accounts: bool = True) -> dict[str, int]:
    """Every browser (except `but`), client, personal token and delegation, and with `accounts` those at servers too;
    how many of each. Accounts that stay are of no use to anybody until the person signs in again.

    Under the lock that whoever refreshes holds: what comes of a refresh at this moment is seen here, or is too late.
    """
    families.lock_person(session, person.id)
    held = (col(PersonalToken.person) == person.id, col(PersonalToken.ended_at).is_(None))
    tokens = session.exec(select(PersonalToken).where(*held)).all()
    ended = {
        "sessions": _count(session, select(BrowserSession).where(BrowserSession.person == person.id)),
        "clients": _end_refresh(session, RefreshToken.person == person.id, now),
        "tokens": len(tokens),
        "delegations": _end_delegations(session, Delegation.person == person.id, now),
        "connections": connections.revoke_all_of(session, person.id, DISCONNECTED, now) if accounts else 0,
    }
    for token in tokens:
        personal.end(session, token, now)
    end_sessions(session, person.id, but=but)
    cut_off(session, Cut.PERSON, person.id, now=now)
    return ended


def of_agent(session: Session, agent: Client, now: float) -> dict[str, int]:
    """Its tokens, those by which it acts for people, and their delegations to it."""
    cut_off(session, Cut.PERSON, agent.id, now=now)
    cut_off(session, Cut.CLIENT, agent.id, now=now)
    return {"delegations": _end_delegations(session, Delegation.agent == agent.id, now)}


def of_client(session: Session, client: Client, now: float) -> dict[str, int]:
    """What everybody gave to it. It may be connected again, and people are asked again."""
    ended = {"people": _end_refresh(session, RefreshToken.client == client.id, now)}
    session.execute(delete(Code).where(col(Code.client) == client.id))
    session.execute(delete(Consent).where(col(Consent.client) == client.id))
    cut_off(session, Cut.CLIENT, client.id, now=now)
    return ended


def of_browser(session: Session, row: BrowserSession, now: float) -> dict[str, int]:
    """A signed-in browser, and the clients that were connected in it."""
    ended = families.end_of_session(session, row.hash, now)
    end_session(session, row.hash)
    return {"clients": ended}


def find_browser(session: Session, name: str) -> BrowserSession:
    """By the first characters of its hash, as lists show it. Raises AccountRefused."""
    starts = col(BrowserSession.hash).startswith(name, autoescape=True)
    found = session.exec(select(BrowserSession).where(starts)).all() if len(name) >= SHOWN else []
    if len(found) != 1:
        raise AccountRefused(f"there is no session {name[:80]!r}; `ostiary user sessions NAME` shows those there are")
    return found[0]


def of_token(session: Session, name: str, now: float) -> dict[str, str]:
    """One token: a personal one or a SCIM client's by its id, or an access token by the `jti` in the record."""
    if name.startswith("pat_"):
        personal.end(session, personal.find(session, name), now)
        return {"kind": "personal"}
    if name.startswith("sct_"):
        end_scim(session, name, now)
        return {"kind": "scim"}
    if re.fullmatch(r"[0-9a-f]{32}", name) is None:
        raise AccountRefused(f"{name[:80]!r} is no token's name; `ostiary audit search` shows it as `jti`")
    cut_off(session, Cut.TOKEN, name, now=now)
    return {"kind": "access"}


def of_delegation(session: Session, name: str, now: float) -> dict[str, str]:
    """A delegation, and the tokens that it led to."""
    row = delegations.find(session, name)
    delegations.end(session, row, now)
    return {"agent": row.agent, "person": row.person}


def end_scim(session: Session, name: str, now: float) -> ScimToken:
    """The token of a provider's SCIM client, by its id; whom it brought stays. Raises AccountRefused."""
    row = session.exec(select(ScimToken).where(ScimToken.id == name)).one_or_none()
    if row is None or row.ended_at is not None:
        raise AccountRefused(f"there is no SCIM token {name!r}; `ostiary scim list` shows those there are")
    row.ended_at = now
    session.add(row)
    return row


def _end_refresh(session: Session, whose: Any, now: float) -> int:
    """Ends families; how many (person, client) pairs had one."""
    alive = (whose, col(RefreshToken.ended_at).is_(None), col(RefreshToken.expires_at) > now)
    pairs = set(session.exec(select(RefreshToken.person, RefreshToken.client).where(*alive)).all())
    session.execute(update(RefreshToken).where(*alive).values(ended_at=now, successor=None))
    return len(pairs)


def _end_delegations(session: Session, whose: Any, now: float) -> int:
    alive = (whose, col(Delegation.ended_at).is_(None), col(Delegation.expires_at) > now)
    rows = session.exec(select(Delegation).where(*alive)).all()
    for row in rows:
        delegations.end(session, row, now)
    return len(rows)


def _count(session: Session, query: Any) -> int:
    return len(session.exec(query).all())
