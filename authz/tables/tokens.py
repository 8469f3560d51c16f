"""What was issued, what was promised, and what ended it; secrets are stored as hashes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel


class SigningKey(SQLModel, table=True):
    """A key of ours; the private half sealed. Published from `created_at`, signs from `signs_from` to `retired_at`."""

    __tablename__ = "signing_key"
    kid: str = Field(primary_key=True)
    public: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: float
    signs_from: float
    retired_at: float | None = None


class Code(SQLModel, table=True):
    """An authorization code, by its SHA-256; `family` is what its tokens belong to."""

    __tablename__ = "code"
    hash: str = Field(primary_key=True)
    client: str
    person: str
    redirect_uri: str
    resource: str
    scope: str
    challenge: str
    family: str
    session: str = ""
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    jkt: str = ""  # the key that it is bound to (RFC 9449 sections 5 and 10)
    expires_at: float
    used_at: float | None = None


class RefreshToken(SQLModel, table=True):
    """A refresh token, by its SHA-256. `successor` is sealed so that a racing twin gets the same one for 10 s."""

    __tablename__ = "refresh_token"
    hash: str = Field(primary_key=True)
    family: str = Field(index=True)
    client: str = Field(index=True)
    person: str = Field(index=True)
    resource: str
    scope: str
    session: str = Field(default="", index=True)  # the browser session that it came from
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    jkt: str = ""  # the key that it is bound to (RFC 9449 sections 5 and 10)
    created_at: float
    expires_at: float
    rotated_at: float | None = None
    successor: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    ended_at: float | None = None


class DeviceGrant(SQLModel, table=True):
    """What a device without a browser asks for (RFC 8628), by the SHA-256 of its device code.

    `answer` is empty until the person says yes or no on the page that `user_code` leads to.
    """

    __tablename__ = "device_grant"
    hash: str = Field(primary_key=True)
    user_code: str = Field(unique=True)  # a fingerprint too
    client: str = Field(index=True)
    resource: str
    scope: str
    created_at: float
    expires_at: float
    polled_at: float = 0
    interval: float = 5
    answer: str = ""
    person: str = ""
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    jkt: str = ""
    session: str = ""
    used_at: float | None = None


class PersonalToken(SQLModel, table=True):
    """A personal token, by its SHA-256; see `authz.tokens.personal`."""

    __tablename__ = "personal_token"
    hash: str = Field(primary_key=True)
    id: str = Field(unique=True)
    person: str = Field(index=True)
    name: str
    scope: str
    resource: str
    created_at: float
    expires_at: float
    last_used_at: float | None = None
    ended_at: float | None = None


class Delegation(SQLModel, table=True):
    """A person lets an agent act for them: these scopes, until then, so many times."""

    __tablename__ = "delegation"
    id: str = Field(primary_key=True)  # "dlg_" and 128 random bits
    person: str = Field(index=True)
    agent: str = Field(index=True)
    scope: str
    reason: str = ""
    uses_left: int | None = None  # None: as often as it likes
    created_at: float
    created_by: str = ""
    last_used_at: float | None = None
    expires_at: float
    ended_at: float | None = None


class CutOff(SQLModel, table=True):
    """Nothing issued before `at` to `key` counts any more. `kind`: person, client, family, session, token, server."""

    __tablename__ = "cut_off"
    kind: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    at: float
    until: float  # when no token that it could cut can still be alive, and the row may go


class Spent(SQLModel, table=True):
    """Something that counts once (an assertion, a `jti`), by the SHA-256 of its kind and name; see `authz.once`."""

    __tablename__ = "spent"
    hash: str = Field(primary_key=True)
    until: float = Field(index=True)  # when it would be refused anyway, and the row may go
