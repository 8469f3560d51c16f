"""The tables of the registry, of the rendezvous and of the journal's index.

`table=True` models do not validate: what enters is checked before it gets here. Times are seconds since the epoch.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, Text
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


class Epoch(SQLModel, table=True):
    __tablename__ = "epoch"
    concern: str = Field(primary_key=True)
    value: int = 0


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


class DataKey(SQLModel, table=True):
    """A key for sealing, itself wrapped by the master key."""

    __tablename__ = "data_key"
    id: str = Field(primary_key=True)
    wrapped: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: float


class Secret(SQLModel, table=True):
    """A sealed secret. Its key is associated data, so it opens nowhere else; its page knows it, so none is put back."""

    __tablename__ = "secret"
    owner: str = Field(primary_key=True)  # for instance "server:notes"
    purpose: str = Field(primary_key=True)
    version: int = 1  # part of the associated data too
    key_id: str
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class VaultPage(SQLModel, table=True):
    """Which secrets of a kind there are, and which version of each; sealed as a whole (docs/decisions/0010)."""

    __tablename__ = "vault_page"
    kind: str = Field(primary_key=True)  # what the owner begins with: "server"
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


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


class Lease(SQLModel, table=True):
    """Held by one process at a time until `until`."""

    __tablename__ = "lease"
    name: str = Field(primary_key=True)
    holder: str
    until: float


class Parcel(SQLModel, table=True):
    """A value left in the rendezvous under a key."""

    __tablename__ = "parcel"
    key: str = Field(primary_key=True)
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: float = Field(index=True)


class Letter(SQLModel, table=True):
    """A message in a box of the rendezvous; read in the order of `id`, which is never used twice."""

    __tablename__ = "letter"
    __table_args__ = {"sqlite_autoincrement": True}
    id: int | None = Field(default=None, primary_key=True)
    box: str = Field(index=True)
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    expires_at: float = Field(index=True)


class Tally(SQLModel, table=True):
    """How often something happened in a window of time."""

    __tablename__ = "tally"
    key: str = Field(primary_key=True)
    window: int = Field(primary_key=True, sa_type=BigInteger)
    count: int = 0


class Segment(SQLModel, table=True):
    """A file of the journal: which writer, which sequence numbers, and the hash of its last record."""

    __tablename__ = "segment"
    name: str = Field(primary_key=True)
    writer: str = Field(index=True)
    place: str = ""  # the machine and directory that keep it, where several write to one database
    number: int
    first_seq: int = Field(sa_type=BigInteger)
    last_seq: int | None = Field(default=None, sa_type=BigInteger)
    head: str = ""
    previous: str = ""  # the link to the segment before it in this table
    link: str = ""
    opened_at: float = 0
    sealed_at: float | None = None
    pruned_at: float | None = None
    position: int = Field(unique=True)  # in the order of opening, without gaps
    indexed: int = Field(default=0, sa_type=BigInteger)  # bytes of the file that are copied into journal_entry
    indexed_seq: int = Field(default=0, sa_type=BigInteger)  # the last record of them: a file that is shorter was cut


class JournalEntry(SQLModel, table=True):
    """One record of the journal, copied here for search; the files are the truth."""

    __tablename__ = "journal_entry"
    id: str = Field(primary_key=True)  # "{writer}/{seq}"
    at: float = Field(index=True)
    event: str = Field(index=True)
    call: str = Field(default="", index=True)
    decision: str = Field(default="", index=True)
    segment: str = Field(default="", index=True)
    principal: str = Field(default="", index=True)
    server: str = ""
    object: str = Field(default="", index=True)
    outcome: str = ""
    line: str = Field(sa_column=Column(Text, nullable=False))

    __table_args__ = (Index("ix_journal_entry_server_at", "server", "at"),)
