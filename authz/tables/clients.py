"""The software through which people ask, and the workloads that are agents of ours."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel


class Client(SQLModel, table=True):
    """An OAuth client. `origin`: registered (by an admin), metadata (a document), dynamic (RFC 7591), or agent."""

    __tablename__ = "client"
    id: str = Field(primary_key=True)
    handle: str = Field(default="", index=True)  # of agents alone
    name: str = ""
    origin: str
    redirect_uris: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    grant_types: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    auth_method: str = "none"
    application_type: str = "native"
    secret_hash: str = Field(default="", repr=False)
    keys: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))  # its JWKS, for private_key_jwt
    keys_uri: str = ""  # or where they are
    scope: str = ""  # what tokens through it may cover at most; empty: all that they may anyway
    # its own names at identity providers: ID tokens for them are tokens that it may exchange
    external_client_ids: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    metadata_document: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    fresh_until: float | None = None  # of the metadata document, as its HTTP headers said
    created_at: float = 0
    last_used_at: float | None = None
    expires_at: float | None = None
    disabled_at: float | None = None

    @property
    def label(self) -> str:
        """How policy and records name an agent; other clients are called what they call themselves."""
        return f"agent:{self.handle}" if self.handle else self.name


class Consent(SQLModel, table=True):
    """A person said yes to exactly this client, redirect and scopes."""

    __tablename__ = "consent"
    person: str = Field(primary_key=True)
    client: str = Field(primary_key=True)
    redirect_uri: str = Field(primary_key=True)
    resource: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    given_at: float


class TrustedIssuer(SQLModel, table=True):
    """Somebody else whose signed assertions we take (RFC 7523); `kind` as in `authz.tokens.issuers`."""

    __tablename__ = "trusted_issuer"
    issuer: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    keys: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))  # their JWKS, if it does not change
    keys_uri: str = ""  # or where it is
    provider: str = ""  # of identity assertions: whose people their subjects are
    created_at: float = 0


class WorkloadRule(SQLModel, table=True):
    """Whoever presents an assertion of `issuer` with all of these claims is `agent` (a client id)."""

    __tablename__ = "workload_rule"
    id: str = Field(primary_key=True)
    issuer: str = Field(index=True)
    claims: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    agent: str = Field(index=True)
    created_at: float = 0
