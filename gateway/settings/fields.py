"""Every setting: its name, its form and what it means."""

from __future__ import annotations

import ipaddress  # noqa: TC003 - pydantic reads the annotations
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.credentials.platform import DeclaredToken  # noqa: TC001 - pydantic reads the annotations
from gateway.identity.declared import DeclaredProvider  # noqa: TC001 - pydantic reads the annotations
from gateway.upstream.channels.declared import DeclaredServer  # noqa: TC001 - pydantic reads the annotations

MIB = 1024 * 1024


class ArgumentRecord(StrEnum):
    """How much of a call's arguments the journal keeps, besides which tool was called."""

    NONE = "none"
    DIGEST = "digest"
    REDACTED = "redacted"
    FULL = "full"


class Durability(StrEnum):
    """GROUP: written before the call leaves, synced within 100 ms. STRICT: synced before the call leaves."""

    GROUP = "group"
    STRICT = "strict"


class SecondFactor(StrEnum):
    """Who, of those with a password of ours, signs in with a code as well."""

    OPTIONAL = "optional"
    ADMINS = "admins"
    EVERYONE = "everyone"


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL with a host, for instance https://mcp.example.com")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must be scheme, host and port alone: no path, query, fragment or user name")
    if "*" in value:
        raise ValueError("must name one host: every link and token audience derives from it")
    return value.rstrip("/").lower()


PublicUrl = Annotated[str, AfterValidator(_public_url)]


class Fields(BaseModel):
    """Each setting by itself. Sizes are in bytes, times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address to bind")
    port: int = Field(8080, ge=0, le=65535, description="port to bind; 0 lets the system choose")
    data: Path = Field(Path("data"), description="directory of keys, database and journal, made on first start")
    public_url: PublicUrl | None = Field(
        None, description="how clients reach us; every link and audience derives from it"
    )
    tls_cert: Path | None = Field(None, description="certificate chain (PEM), if we end TLS ourselves")
    tls_key: Path | None = Field(None, description="its private key (PEM)")
    database_url: str | None = Field(None, description="PostgreSQL URL; without it SQLite in the data directory")
    demo: bool = Field(False, description="start the demo: two servers, two people, an agent, a policy")
    workers: int = Field(1, ge=1, le=64, description="processes that serve")
    insecure_bind: bool = Field(False, description="bind beyond loopback without an https public URL")
    trusted_proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = Field(
        (), description="networks whose X-Forwarded-For is believed, for the record and for rate limits"
    )
    allowed_origins: tuple[str, ...] = Field((), description="origins of browser clients besides our own")
    allow_addresses: tuple[str, ...] = Field((), description="scheme://host:port lines that servers may be reached at")
    admin_listen: str | None = Field(None, description="host:port that /admin moves to")
    metrics_listen: str | None = Field(
        None, description="host:port of Prometheus metrics, for instance 127.0.0.1:9464; none without it"
    )
    request_limit: int = Field(4 * MIB, ge=1024, le=64 * MIB, description="largest request body")
    answer_limit: int = Field(32 * MIB, ge=1024, le=1024 * MIB, description="largest answer of a server")
    in_flight_limit: int = Field(256 * MIB, ge=MIB, description="bytes held for calls under way before 503")
    call_deadline: float = Field(60.0, gt=0, le=3600, description="silence after which a call to a server is given up")
    call_limit: float = Field(600.0, gt=0, le=86400, description="longest a call may last, progress or not")
    stale_limit: float = Field(
        900.0, ge=0, le=86400, description="how long an unreachable server's tools stay callable"
    )
    refresh_interval: float = Field(30.0, ge=1, le=3600, description="how often servers are asked what they offer")
    token_life: int = Field(300, ge=30, le=300, description="life of an access token")
    tool_token_life: int = Field(120, ge=10, le=300, description="life of a token that was exchanged for a few tools")
    session_life: int = Field(
        8 * 3600, ge=300, le=7 * 86400, description="life of a browser session (unused: a quarter of it) and of groups"
    )
    refresh_life: int = Field(30 * 86400, ge=3600, le=180 * 86400, description="life of a refresh token family")
    operator_tokens: bool = Field(True, description="allow `ostiary token issue`")
    personal_tokens: bool = Field(True, description="allow people tokens for clients that cannot do OAuth")
    dynamic_registration: bool = Field(True, description="allow RFC 7591 registration")
    identity_providers: tuple[DeclaredProvider, ...] = Field(
        (), description="identity providers that this file alone may change, each a table; see docs/identity.md"
    )
    stdio_servers: tuple[DeclaredServer, ...] = Field(
        (), description="servers that are processes of ours, each a table; see docs/servers.md"
    )
    workload_tokens: tuple[DeclaredToken, ...] = Field(
        (), description="what the platform says of us, in files, each a table; see docs/connections.md"
    )
    second_factor: SecondFactor = Field(
        SecondFactor.OPTIONAL, description="who with a password of ours must have a second factor"
    )
    webhook_url: str | None = Field(
        None, description="where we POST notices: accounts that end, servers suspended or changed; none without it"
    )
    journal_arguments: ArgumentRecord = Field(
        ArgumentRecord.REDACTED, description="what the journal keeps of arguments"
    )
    journal_durability: Durability = Field(Durability.GROUP, description="when a record counts as written")

    @property
    def base_url(self) -> str:
        """The one public URL: no trailing slash, lower case."""
        if self.public_url is not None:
            return self.public_url
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def review_url(self) -> str:
        """The admin's pages; they may have a listener of their own, which only administrators can reach."""
        scheme = "https" if self.tls_cert else "http"
        listener = f"{scheme}://{self.admin_listen}" if self.admin_listen else self.base_url
        return f"{listener}/admin/servers"

    @property
    def journal(self) -> Path:
        """Where the files of the record are."""
        return self.data / "journal"

    @property
    def secure(self) -> bool:
        """Whether browsers reach us over https, which decides about cookies."""
        return self.base_url.startswith("https://")
