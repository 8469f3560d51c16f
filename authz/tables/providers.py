"""Identity providers, and what they keep here by themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, UniqueConstraint
from sqlmodel import Field, SQLModel


class Provider(SQLModel, table=True):
    """An identity provider. `config` is what its kind's model takes; its secrets are sealed under `idp:{slug}`."""

    __tablename__ = "provider"
    slug: str = Field(primary_key=True)
    kind: str  # oidc, saml, ldap, entra
    title: str = ""
    domains: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    config: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    declared: bool = False  # in the operator's file, which then alone may change it
    created_at: float = 0
    disabled_at: float | None = None


class ClaimMapping(SQLModel, table=True):
    """Whoever `provider` says has `value` among `claim` is in our `group`, for as long as a sign-in's groups live."""

    __tablename__ = "claim_mapping"
    provider: str = Field(primary_key=True)
    claim: str = Field(primary_key=True)
    value: str = Field(primary_key=True)
    group: str = Field(primary_key=True)


class ScimResource(SQLModel, table=True):
    """A user or group as a provider's SCIM client keeps it here; `document` is all that it said (RFC 7643)."""

    __tablename__ = "scim_resource"
    provider: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    kind: str  # User or Group
    name: str  # userName or displayName, case-folded
    external_id: str = ""
    person: str = Field(default="", index=True)  # of a user: who they are here
    document: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    version: int = 1
    created_at: float
    modified_at: float

    __table_args__ = (UniqueConstraint("provider", "kind", "name"),)


class ScimToken(SQLModel, table=True):
    """What a provider's SCIM client presents, by its SHA-256."""

    __tablename__ = "scim_token"
    hash: str = Field(primary_key=True)
    id: str = Field(unique=True)
    provider: str = Field(index=True)
    created_at: float
    expires_at: float
    ended_at: float | None = None
