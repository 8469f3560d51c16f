"""Accounts at servers that somebody connected: their rows, and in the vault their tokens or the value that was given.

What follows what is in `connection_states`. Everything works inside the caller's transaction. That something ended is
felt by the caller's cut-off (`gateway.credentials.ending`), for this package knows none.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import asdict
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
import sqlalchemy as sa
from sqlmodel import col, select

from registry.credentials import connection_states as states
from registry.credentials.connection_states import ALIVE, Life, Standing
from registry.database import ensure
from registry.errors import SecretRefused
from registry.tables import Connection, ConnectionState, Notice, PendingConnect, Secret, UpstreamClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlmodel import Session

    from registry.secrets.vault import Vault

KIND: Final = "connection/"  # what the kinds of their secrets begin with
TOKENS: Final = "tokens"
HEADER: Final = "header"  # what a person gave, of --auth static --per person


class Tokens(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an authorization server gave for one connection. `audience` is the resource that they were asked for."""

    access: str
    refresh: str = ""
    type: str = "Bearer"
    key: bytes = b""  # that they are bound to, where they are (RFC 9449); the refresh token may be, the other not
    expires_at: float | None = None
    ends_at: float | None = None  # of the refresh token, where that is said
    scopes: tuple[str, ...] = ()
    issuer: str = ""
    audience: str = ""
    client_id: str = ""
    withheld: tuple[str, ...] = ()  # scopes that were asked for and not given
    times: int = 0  # that these, and no others, were withheld one after the other

    def __repr__(self) -> str:
        return f"Tokens(issuer={self.issuer!r}, expires_at={self.expires_at})"

    @property
    def life(self) -> Life:
        return Life(expires_at=self.expires_at, ends_at=self.ends_at, renewable=bool(self.refresh))


class Given(msgspec.Struct, frozen=True):
    """What a person typed in, and the address of the server that they gave it for."""

    value: bytes
    audience: str

    def __repr__(self) -> str:
        return f"Given(audience={self.audience!r})"


_tokens = msgspec.json.Decoder(Tokens)
_given = msgspec.json.Decoder(Given)


def owner(slug: str, subject: str) -> str:
    """Whose secrets they are, in the vault. People are spread over many kinds, for each kind has one page."""
    return f"{KIND}{slug}/{sha256(subject.encode()).hexdigest()[:2]}:{subject}"


def find(session: Session, slug: str, subject: str) -> Connection | None:
    """As it is now, whatever this session has seen before."""
    return session.get(Connection, (slug, subject), populate_existing=True)


def listed(session: Session, *, slug: str | None = None, subject: str | None = None) -> list[Connection]:
    """Those of a server, of a person, or all; in the order of servers and people."""
    query = select(Connection).order_by(col(Connection.server), col(Connection.subject))
    if slug is not None:
        query = query.where(Connection.server == slug)
    if subject is not None:
        query = query.where(Connection.subject == subject)
    return list(session.exec(query))


def standing(row: Connection) -> Standing:
    """What its state is made of."""
    return Standing(
        state=ConnectionState(row.state),
        why=row.why,
        changed_at=row.changed_at,
        connected_at=row.connected_at,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        refresh_at=row.refresh_at,
        attempts=row.attempts,
        warned_at=row.warned_at,
    )


def is_alive(row: Connection) -> bool:
    return row.state in ALIVE


def connect(
    session: Session, vault: Vault, slug: str, subject: str, tokens: Tokens, *, by: str, now: float
) -> Connection:
    """A person went the whole way: from now on these tokens are the connection, whatever was before."""
    row = _begun(session, slug, subject, states.connected(tokens.life, now, _chance()), by)
    row.issuer, row.scopes = tokens.issuer, list(tokens.scopes)
    vault.seal(session, owner(slug, subject), TOKENS, msgspec.json.encode(tokens))
    return row


def give(session: Session, vault: Vault, slug: str, subject: str, given: Given, *, by: str, now: float) -> Connection:
    """A person gave a value of their own, for --auth static --per person."""
    row = _begun(session, slug, subject, states.connected(Life(), now, 0.0), by)
    row.issuer, row.scopes = "", []
    vault.seal(session, owner(slug, subject), HEADER, msgspec.json.encode(given))
    return row


def tokens_of(session: Session, vault: Vault, row: Connection) -> Tokens:
    """Raises SecretRefused when there are none, or they are not the ones that were kept for this connection."""
    found = _tokens.decode(vault.open_secret(session, owner(row.server, row.subject), TOKENS))
    if found.issuer != row.issuer:  # the row is not sealed, the tokens are
        raise SecretRefused(f"the tokens for {row.server} are of another issuer than the connection says")
    return found


def given_of(session: Session, vault: Vault, row: Connection) -> Given:
    """Raises SecretRefused likewise."""
    return _given.decode(vault.open_secret(session, owner(row.server, row.subject), HEADER))


def step(session: Session, row: Connection, follows: Callable[[Standing], Standing]) -> Connection | None:
    """Takes the connection to what follows, if it is alive and still the one that `row` was read as.

    Another generation is another token, and what is true of the one need not be true of the other.
    """
    stored = _locked(session, row)
    if stored is None or not is_alive(stored):
        return None
    _write(stored, follows(standing(stored)))
    session.add(stored)
    return stored


def renew(session: Session, vault: Vault, row: Connection, tokens: Tokens, now: float) -> Connection | None:
    """Keeps what came of a renewal, unless somebody connected, ended or renewed it meanwhile."""
    stored = step(session, row, lambda before: states.renewed(before, tokens.life, now, _chance()))
    if stored is None:
        return None
    stored.generation += 1
    stored.scopes = list(tokens.scopes)
    session.add(stored)
    vault.seal(session, owner(row.server, row.subject), TOKENS, msgspec.json.encode(tokens))
    return stored


def revoke(session: Session, slug: str, subject: str, why: str, now: float) -> bool:
    """From now on it is not used. What is kept goes with `forget`, when the authorization server has been told."""
    row = find(session, slug, subject)
    if row is None or row.state == ConnectionState.REVOKED:
        return False
    _write(row, states.revoked(standing(row), why, now))
    session.add(row)
    return True


def revoke_all_of(session: Session, subject: str, why: str, now: float) -> int:
    """Every connection of a person; how many were ended."""
    rows = [row for row in listed(session, subject=subject) if is_alive(row)]
    return sum(revoke(session, row.server, subject, why, now) for row in rows)


def any_to_tend(session: Session) -> bool:
    """Whether there is anything for whoever looks after connections."""
    return any(
        session.exec(select(table).limit(1)).first() is not None for table in (Connection, Notice, UpstreamClient)
    )


def due(session: Session, now: float, most: int) -> list[Connection]:
    """Those to be renewed by now, the longest due first; at most so many of each server."""
    is_due = (col(Connection.refresh_at) <= now, col(Connection.state).in_(ALIVE))
    servers = session.exec(select(Connection.server).where(*is_due).distinct()).all()
    query = select(Connection).where(*is_due).order_by(col(Connection.refresh_at)).limit(most)
    return [row for slug in sorted(servers) for row in session.exec(query.where(Connection.server == slug))]


def ending(session: Session, by: float) -> Sequence[Connection]:
    """Those that could be over by then, for want of a person."""
    unrenewable = col(Connection.refresh_at).is_(None) & (col(Connection.expires_at) <= by)
    query = select(Connection).where(col(Connection.state).in_(ALIVE), unrenewable | (col(Connection.ends_at) <= by))
    return session.exec(query).all()


def apps_ending(session: Session, by: float) -> Sequence[UpstreamClient]:
    """Our apps at authorization servers whose secret ends by then, and of which nobody was told yet."""
    untold = col(UpstreamClient.warned_at).is_(None)
    return session.exec(select(UpstreamClient).where(col(UpstreamClient.secret_until) <= by, untold)).all()


def ended_with_secrets(session: Session, most: int) -> Sequence[Connection]:
    """Revoked ones of which something is still kept."""
    query = select(Connection).where(Connection.state == ConnectionState.REVOKED, col(Connection.account) != "")
    return session.exec(query.limit(most)).all()


def forget(session: Session, vault: Vault, row: Connection) -> None:
    """Nothing of a revoked connection is kept any longer but that there was one."""
    stored = _locked(session, row)
    if stored is None or stored.state != ConnectionState.REVOKED:
        return
    vault.forget(session, owner(row.server, row.subject))
    stored.account, stored.scopes = "", []
    session.add(stored)


def remove_all_at(session: Session, vault: Vault, slug: str) -> int:
    """All that was connected at a server, with whatever was registered there for it; how many it were."""
    rows = listed(session, slug=slug)
    kinds = sa.select(col(Secret.owner)).where(col(Secret.owner).startswith(f"{KIND}{slug}/", autoescape=True))
    for each in sorted(session.execute(kinds.distinct()).scalars()):
        vault.forget(session, each)
    for row in rows:
        session.delete(row)
    session.flush()
    for table in (UpstreamClient, PendingConnect):
        session.execute(sa.delete(table).where(col(table.server) == slug))
    return len(rows)


def _begun(session: Session, slug: str, subject: str, fresh: Standing, by: str) -> Connection:
    empty = Connection(server=slug, subject=subject, state=fresh.state, changed_at=0, connected_at=0)
    row = ensure(session, empty)
    _write(row, fresh)
    row.generation += 1
    row.account, row.connected_by = secrets.token_hex(16), by
    session.add(row)
    return row


def _locked(session: Session, row: Connection) -> Connection | None:
    """The stored row, locked until the transaction ends, if it is still the one that was read."""
    stored = session.get(Connection, (row.server, row.subject), populate_existing=True, with_for_update=True)
    if stored is None or stored.generation != row.generation:
        return None
    return stored


def _write(row: Connection, after: Standing) -> None:
    for name, value in asdict(after).items():
        setattr(row, name, value)


def _chance() -> float:
    return random.random()  # noqa: S311 - spreads work, keeps no secret
