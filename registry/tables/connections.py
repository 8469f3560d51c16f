"""Accounts at servers that people connected, our client there, and what is told of them."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import JSON, Column, LargeBinary, Text
from sqlmodel import Field, SQLModel


class ConnectionState(StrEnum):
    """connected → expiring → refreshing → connected; from any of them → needs-reconnect or revoked.

    CONNECTED holds a token that works; EXPIRING one that will end and cannot be renewed without a person; REFRESHING is
    being renewed, or waits to try again; NEEDS_RECONNECT only a person can mend; REVOKED was ended on purpose.
    """

    CONNECTED = "connected"
    REFRESHING = "refreshing"
    EXPIRING = "expiring"
    NEEDS_RECONNECT = "needs-reconnect"
    REVOKED = "revoked"


class Connection(SQLModel, table=True):
    """An account at a server: one person's, or with an empty `subject` the shared one. Its tokens are in the vault."""

    __tablename__ = "connection"
    server: str = Field(primary_key=True, foreign_key="server.slug")
    subject: str = Field(primary_key=True)  # the id of the person
    state: str
    why: str = ""  # in our words, with what to do
    changed_at: float  # when the state became what it is
    connected_at: float  # when somebody connected it last
    connected_by: str = ""
    account: str = ""  # whatever tells this account from another; new when somebody connects anew
    issuer: str = ""  # whose tokens they are; nothing else refreshes them (SEP-2352)
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    generation: int = 0  # one more with every new token
    expires_at: float | None = None  # of the access token
    ends_at: float | None = None  # of all of it, where the authorization server says so
    refresh_at: float | None = Field(default=None, index=True)
    attempts: int = 0  # to refresh, in vain, since the last that succeeded
    warned_at: float | None = None  # when people were told that it will end


class UpstreamClient(SQLModel, table=True):
    """Who we are at an authorization server, for one of our servers. Its secret is in the vault."""

    __tablename__ = "upstream_client"
    server: str = Field(primary_key=True, foreign_key="server.slug")
    issuer: str = Field(primary_key=True)
    client_id: str
    how: str  # "metadata" (our client ID metadata document), "dynamic" (RFC 7591), "configured"
    auth_method: str = "none"
    redirect_uri: str = ""
    registered_at: float = 0
    secret_until: float | None = None
    warned_at: float | None = None  # when people were told that the secret ends


class PendingConnect(SQLModel, table=True):
    """A person on the way to an authorization server and back; used once."""

    __tablename__ = "pending_connect"
    state: str = Field(primary_key=True)  # a hash of what is in the URL
    server: str
    subject: str
    person: str  # who began it, and alone may end it
    browser: str  # the hash of the session it began in
    issuer: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # what the token request needs
    back_to: str = ""
    expires_at: float = Field(index=True)


class Notice(SQLModel, table=True):
    """Something that the webhook has not taken yet."""

    __tablename__ = "notice"
    id: str = Field(primary_key=True)
    body: str = Field(sa_column=Column(Text, nullable=False))
    at: float
    due_at: float = Field(index=True)
    attempts: int = 0
