"""What there is: servers, what they offer, what was approved of it, and where they may be reached."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Column, Text
from sqlmodel import Field, SQLModel


class ServerState(StrEnum):
    """submitted → approved ⇄ suspended; any of them → retired, which is final."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class Era(StrEnum):
    """MODERN is per-request metadata (2026-07-28 and later), LEGACY the initialize handshake before it."""

    MODERN = "modern"
    LEGACY = "legacy"


class Kind(StrEnum):
    """What a definition describes. SERVER is the server's own words to a model: its name, title and instructions."""

    TOOL = "tool"
    PROMPT = "prompt"
    RESOURCE = "resource"
    TEMPLATE = "template"
    SERVER = "server"


class Transport(StrEnum):
    """How a server is reached: streamable HTTP, HTTP+SSE of 2024-11-05, a process of ours, or an HTTP API described
    by OpenAPI.
    """

    HTTP = "http"
    SSE = "sse"
    STDIO = "stdio"
    OPENAPI = "openapi"


class Auth(StrEnum):
    """How we authenticate to the server; `registry.credentials.modes` has what each needs to know."""

    NONE = "none"
    STATIC = "static"
    OAUTH_PERSON = "oauth-person"
    OAUTH_SHARED = "oauth-shared"
    CLIENT_CREDENTIALS = "client-credentials"
    TOKEN_EXCHANGE = "token-exchange"  # noqa: S105  # the name of a mode, not a secret
    ON_BEHALF_OF = "on-behalf-of"
    ID_JAG = "id-jag"
    MINTED = "minted"
    AWS = "aws-sigv4"


class Server(SQLModel, table=True):
    """An upstream MCP server. `era`, `protocol_version` and `capabilities` are what the last probe found."""

    __tablename__ = "server"
    slug: str = Field(primary_key=True)
    title: str = ""
    owner: str = ""
    url: str
    state: str = ServerState.SUBMITTED
    transport: str = Transport.HTTP
    auth: str = Auth.NONE
    auth_settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    allowed: list[str] = Field(default_factory=lambda: ["elicitation"], sa_column=Column(JSON, nullable=False))
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    tls: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    era: str = Era.MODERN
    protocol_version: str = ""
    capabilities: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    proposed_by: str = ""
    proposed_at: float = 0
    approved_by: str = ""
    approved_at: float | None = None
    probed_at: float | None = None  # the last probe or refresh that succeeded
    failing_since: float | None = None
    failure: str = ""  # what is wrong and what to do, never the upstream's text
    trouble: str = ""  # of what kind that is, in one word
    flaps: int = 0  # to and fro between approved and other text, lately; too much of it suspends the server (T-63)
    flapped_at: float | None = None
    suspended_because: str = ""


class Definition(SQLModel, table=True):
    """A tool, prompt, resource or template as the upstream describes it now."""

    __tablename__ = "definition"
    server: str = Field(primary_key=True, foreign_key="server.slug")
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)  # a tool's or prompt's name, a resource's URI, a template's uriTemplate
    raw: str = Field(sa_column=Column(Text, nullable=False))  # the upstream's JSON, byte-true
    digest: str
    findings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    position: int = 0  # where the upstream lists it
    first_seen: float = 0
    last_seen: float = 0
    missing: bool = False


class ApiDescription(SQLModel, table=True):
    """Of a server that is an HTTP API: where its description is, what was chosen of it, and what was read last."""

    __tablename__ = "api_description"
    server: str = Field(primary_key=True, foreign_key="server.slug")
    url: str = ""  # empty: a file, which is given anew
    choice: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    digest: str = ""
    etag: str = ""
    modified: str = ""
    read_at: float = 0


class Pin(SQLModel, table=True):
    """The approved digest of a definition, with the text that was shown to the approver."""

    __tablename__ = "pin"
    server: str = Field(primary_key=True, foreign_key="server.slug")
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    digest: str
    raw: str = Field(sa_column=Column(Text, nullable=False))
    approved_by: str
    approved_at: float


class ExposedName(SQLModel, table=True):
    """The stored table by which an exposed name leads back to its definition; never split, only looked up."""

    __tablename__ = "exposed_name"
    exposed: str = Field(primary_key=True)
    kind: str = Field(primary_key=True)
    server: str
    name: str


class AddressException(SQLModel, table=True):
    """A (scheme, host, port) that may be connected to although the rules would refuse it."""

    __tablename__ = "address_exception"
    scheme: str = Field(primary_key=True)
    host: str = Field(primary_key=True)
    port: int = Field(primary_key=True)
    added_by: str = ""
    added_at: float = 0
