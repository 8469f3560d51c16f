"""Agents, which are clients and principals at once: who there is, and how they and other clients are kept out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlmodel import col, select

from authz.clients.known import Origin
from authz.errors import AccountRefused
from authz.tables import Client
from authz.tokens.cutoffs import Cut, cut_off

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlmodel import Session


def agents(session: Session) -> Iterable[Client]:
    """The agents that are enabled."""
    return session.exec(select(Client).where(Client.origin == Origin.AGENT, col(Client.disabled_at).is_(None)))


def agent_called(session: Session, handle: str) -> Client | None:
    """The agent of this name, disabled or not; handles of other clients are nobody's."""
    return session.exec(select(Client).where(Client.origin == Origin.AGENT, Client.handle == handle)).one_or_none()


def find_agent(session: Session, handle: str) -> Client:
    found = agent_called(session, handle)
    if found is None:
        raise AccountRefused(f"no agent is called {handle!r}; `ostiary client list` shows those there are")
    return found


def find_agent_by_id(session: Session, id_: str) -> Client | None:
    """The agent with this client id, if it is enabled."""
    found = session.get(Client, id_)
    return found if found is not None and found.origin == Origin.AGENT and found.disabled_at is None else None


def disable_client(session: Session, client: Client, now: float) -> None:
    """The same for a client; if it is an agent, for what it holds itself too."""
    client.disabled_at = now
    cut_off(session, Cut.CLIENT, client.id, now=now)
    if client.origin == Origin.AGENT:
        cut_off(session, Cut.PERSON, client.id, now=now)
