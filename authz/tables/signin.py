"""Signing in: browsers, what a provider knows of them, second factors, links. Secrets are stored as hashes."""

from __future__ import annotations

from sqlalchemy import Column, LargeBinary
from sqlmodel import Field, SQLModel


class BrowserSession(SQLModel, table=True):
    """A signed-in browser, by the SHA-256 of its cookie."""

    __tablename__ = "browser_session"
    hash: str = Field(primary_key=True)
    person: str = Field(index=True)
    created_at: float
    seen_at: float
    expires_at: float
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    address: str = ""


class ForeignSession(SQLModel, table=True):
    """The provider's side of a sign-in. Outlives the browser session, because the clients that came from it do."""

    __tablename__ = "foreign_session"
    session: str = Field(primary_key=True)  # as in BrowserSession.hash, Code.session and RefreshToken.session
    provider: str = Field(index=True)
    person: str = Field(index=True)
    name: str = Field(default="", index=True)  # what the provider calls it (sid, SessionIndex)
    keep: bytes = Field(default=b"", sa_column=Column(LargeBinary, nullable=False))  # sealed
    asked_at: float  # when the provider last said that the person is still theirs
    until: float


class PendingSignIn(SQLModel, table=True):
    """A browser that was sent to a provider and has not come back, by the SHA-256 of its state."""

    __tablename__ = "pending_sign_in"
    hash: str = Field(primary_key=True)
    browser: str  # the SHA-256 of the cookie that it is bound to
    provider: str
    kept: bytes = Field(sa_column=Column(LargeBinary, nullable=False))  # sealed
    ticket: str = Field(default="", index=True)  # a SHA-256, once an answer was posted and waits for its browser
    answer: bytes = Field(default=b"", sa_column=Column(LargeBinary, nullable=False))  # sealed
    expires_at: float


class FailedSignIns(SQLModel, table=True):
    """Sign-ins that failed lately, by account or by address; kept here so that every process counts together."""

    __tablename__ = "failed_sign_ins"
    key: str = Field(primary_key=True)  # "account:" or "address:" and a SHA-256
    count: int = 0
    last_at: float = 0
    paused_until: float = 0


class SecondFactor(SQLModel, table=True):
    """A person's time-based codes (RFC 6238); their key is sealed."""

    __tablename__ = "second_factor"
    person: str = Field(primary_key=True)
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    step: int = 0  # the last time step whose code was used: none is used twice
    created_at: float


class RecoveryCode(SQLModel, table=True):
    """Counts once in place of a second factor, by its SHA-256."""

    __tablename__ = "recovery_code"
    hash: str = Field(primary_key=True)
    person: str = Field(index=True)
    used_at: float | None = None


class OneTimeLink(SQLModel, table=True):
    """A link that works once, by its SHA-256."""

    __tablename__ = "one_time_link"
    hash: str = Field(primary_key=True)
    purpose: str
    person: str = ""
    expires_at: float
    used_at: float | None = None
