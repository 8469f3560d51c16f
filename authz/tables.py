"""The tables of people, clients, policy and tokens. Times are seconds since the epoch; secrets are stored as hashes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, LargeBinary, UniqueConstraint
from sqlmodel import Field, SQLModel


class Person(SQLModel, table=True):
    """Somebody who can sign in. `handle` is how policy and records name them: `user:{handle}`."""

    __tablename__ = "person"
    id: str = Field(primary_key=True)  # "usr_" and 128 random bits; the `sub` of our tokens
    issuer: str
    subject: str
    handle: str = Field(unique=True)
    name: str = ""
    email: str = ""
    password_hash: str = Field(default="", repr=False)
    is_admin: bool = False
    provider: str = ""  # the slug of the identity provider that knows them; empty: they are ours
    vouched_at: float = 0  # when they last proved there who they are; what was said before that says nothing new
    created_at: float = 0
    disabled_at: float | None = None
    disabled_by: str = ""  # a provider that no longer knows them, which a sign-in there undoes; empty: an administrator

    __table_args__ = (UniqueConstraint("issuer", "subject"),)


class Group(SQLModel, table=True):
    __tablename__ = "people_group"
    name: str = Field(primary_key=True)
    created_at: float = 0


class Membership(SQLModel, table=True):
    """`member` is a person's id or a client's id; `until` is set by a sign-in, empty where an admin says so."""

    __tablename__ = "membership"
    member: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    until: float | None = None
    mapped: bool = False  # a sign-in gave it, and the next one may take it
    provisioned: bool = False  # a provider's SCIM client gave it, and may take it


class RoleBinding(SQLModel, table=True):
    """Casbin's `g`: `subject` (user:, group: or agent:) has `role` in `portal` (or `*`)."""

    __tablename__ = "role_binding"
    subject: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    portal: str = Field(primary_key=True, default="*")


class Rule(SQLModel, table=True):
    """Casbin's `p`. `object` is `server.name` or `server.*`; `condition` is typed data, never an expression."""

    __tablename__ = "rule"
    id: str = Field(primary_key=True)
    subject: str
    portal: str = "*"
    object: str
    action: str
    effect: str = "allow"
    condition: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    obligations: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    note: str = ""
    created_by: str = ""
    created_at: float = 0
    ends_at: float | None = None


class Client(SQLModel, table=True):
    """An OAuth client. `origin`: registered (by an admin), metadata (a document), dynamic (RFC 7591), or agent."""

    __tablename__ = "client"
    id: str = Field(primary_key=True)
    handle: str = Field(default="", index=True)  # for agents: `agent:{handle}`
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


class Consent(SQLModel, table=True):
    """A person said yes to exactly this client, redirect and scopes."""

    __tablename__ = "consent"
    person: str = Field(primary_key=True)
    client: str = Field(primary_key=True)
    redirect_uri: str = Field(primary_key=True)
    resource: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    given_at: float


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


class SigningKey(SQLModel, table=True):
    """A key of ours; the private half sealed. Published from `created_at`, signs from `signs_from` to `retired_at`."""

    __tablename__ = "signing_key"
    kid: str = Field(primary_key=True)
    public: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: float
    signs_from: float
    retired_at: float | None = None


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


class FailedSignIns(SQLModel, table=True):
    """Sign-ins that failed lately, by account or by address; kept here so that every process counts together."""

    __tablename__ = "failed_sign_ins"
    key: str = Field(primary_key=True)  # "account:" or "address:" and a SHA-256
    count: int = 0
    last_at: float = 0
    paused_until: float = 0


class OneTimeLink(SQLModel, table=True):
    """A link that works once, by its SHA-256."""

    __tablename__ = "one_time_link"
    hash: str = Field(primary_key=True)
    purpose: str
    person: str = ""
    expires_at: float
    used_at: float | None = None


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


class TrustedIssuer(SQLModel, table=True):
    """Somebody else whose signed assertions we take (RFC 7523); `kind` as in `authz.issuers`."""

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
    """A personal token, by its SHA-256; see `authz.personal`."""

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
