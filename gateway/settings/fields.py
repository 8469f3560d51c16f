"""Every setting: one frozen object, from the file, then `OSTIARY_*`, then flags; all problems named at once."""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.credentials.platform import DeclaredToken  # noqa: TC001 - pydantic reads the annotations
from gateway.identity.declared import DeclaredProvider  # noqa: TC001 - pydantic reads the annotations
from gateway.upstream.channels.declared import DeclaredServer
from gateway.upstream.channels.declared import problems as of_processes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX = "OSTIARY_"
MIB = 1024 * 1024
DATABASE_FORM = "write postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ and %2F for a / in the password"
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


class ConfigurationError(Exception):
    """`problems` is every problem found, one sentence each, saying what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


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


class Settings(BaseModel):
    """How this door is run. Sizes are in bytes, times in seconds."""

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

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        problems = list(_contradictions(self))
        if problems:
            raise ValueError("\n".join(problems))
        return self

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


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load(file: Path | None, environment: Mapping[str, str] | None = None, **flags: Any) -> Settings:
    """The settings; flags that are None count as not given. Raises ConfigurationError with every problem."""
    problems: list[str] = []
    given: dict[str, Any] = {}
    given |= _from_file(file, problems)
    given |= _from_environment(os.environ if environment is None else environment, problems)
    given |= {name: value for name, value in flags.items() if value is not None}
    settings = _build(given, problems)
    if settings is None or problems:
        raise ConfigurationError(sorted({line for problem in problems for line in problem.splitlines()}))
    return settings


def _build(given: dict[str, Any], problems: list[str]) -> Settings | None:
    """The settings, or None with every problem named: fields alone first, then how the good ones agree."""
    try:
        return Settings(**given)
    except ValidationError as refused:
        problems += [_sentence(error) for error in refused.errors()]
        bad = {error["loc"][0] for error in refused.errors() if error["loc"]}
    if bad:
        _build({name: value for name, value in given.items() if name not in bad}, problems)
    return None


def _from_file(file: Path | None, problems: list[str]) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        problems.append(f"{file}: cannot be read ({error.strerror})")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{file}: is not TOML ({error})")
    return {}


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for key, value in environment.items():
        if not key.startswith(PREFIX) or key == "OSTIARY_MASTER_KEY":
            continue
        name = key.removeprefix(PREFIX).lower()
        field = Settings.model_fields.get(name)
        if field is None:
            problems.append(f"{key}: {_no_such(name, PREFIX)}")
        elif "tuple" in str(field.annotation):
            given[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        else:
            given[name] = value
    return given


def _no_such(name: str, prefix: str = "") -> str:
    near = difflib.get_close_matches(name, Settings.model_fields, n=1)
    if not near:
        return "no such setting; docs/settings.md lists them"
    return f"no such setting; did you mean {prefix + near[0].upper() if prefix else near[0]}?"


def _sentence(error: Any) -> str:
    message: str = error["msg"].removeprefix("Value error, ")
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{place}: {_no_such(place)}"
    return "\n".join(f"{place}: {line}" if place else line for line in message.splitlines())


def _contradictions(settings: Settings) -> Iterator[str]:
    for check in CHECKS:
        yield from check(settings)


def _tls(settings: Settings) -> Iterator[str]:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_cert, tls_key: give both or neither"
    for name, path in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        if path is not None and not path.is_file():
            yield f"{name}: no file at {path}"
    key = settings.tls_key
    if key is not None and key.is_file() and key.stat().st_mode & 0o077:
        yield f"tls_key: {key} can be read by others; chmod 600 it"


def _exposure(settings: Settings) -> Iterator[str]:
    loopback = is_loopback(settings.host)
    if settings.demo and not loopback:
        yield "demo: has accounts that anybody may know and runs on loopback only; leave --demo away"
    if settings.host in {"0.0.0.0", "::"} and settings.public_url is None:  # noqa: S104 - this is the check
        yield f"host, public_url: {settings.host} is every address and no name; say how clients reach us"
    if settings.insecure_bind:
        return
    if not loopback and not settings.secure:
        yield (
            f"host: {settings.host} is not loopback and there is no https public URL; give --public-url https://... "
            "(with --tls-cert/--tls-key, or a proxy in front), or say --insecure-bind"
        )
    if not settings.secure and not is_loopback(urlsplit(settings.base_url).hostname or ""):
        yield "public_url: must be https except on loopback, or say --insecure-bind"


def _counts(settings: Settings) -> Iterator[str]:
    if settings.workers > 1 and settings.port == 0:
        yield "port: several workers need a port of your choice, not 0"
    if settings.call_limit < settings.call_deadline:
        yield "call_limit: must not be shorter than call_deadline"


def _origins(settings: Settings) -> Iterator[str]:
    for origin in settings.allowed_origins:
        parts = urlsplit(origin)
        if "*" in origin or parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
            yield f"allowed_origins: {origin!r} must be scheme://host[:port]"


def _addresses(settings: Settings) -> Iterator[str]:
    for line in settings.allow_addresses:
        parts = urlsplit(line)
        if "*" in line or parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            yield f"allow_addresses: {line!r} must be scheme://host:port"


def _listeners(settings: Settings) -> Iterator[str]:
    for name, value in (("admin_listen", settings.admin_listen), ("metrics_listen", settings.metrics_listen)):
        if value and not _is_listen(value):
            yield f"{name}: {value!r} must be host:port"


def _providers(settings: Settings) -> Iterator[str]:
    for what, names in (
        ("slug", [one.slug for one in settings.identity_providers]),
        ("domain", [domain.lower() for one in settings.identity_providers for domain in one.domains]),
    ):
        yield from (f"identity_providers: the {what} {name} is there twice" for name in _twice(names))


def _workloads(settings: Settings) -> Iterator[str]:
    names = [one.name for one in settings.workload_tokens]
    yield from (f"workload_tokens: the name {name} is there twice" for name in _twice(names))


def _webhook(settings: Settings) -> Iterator[str]:
    parts = urlsplit(settings.webhook_url or "https://-")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.fragment:
        yield "webhook_url: must be an https URL, for instance https://hooks.example.com/ostiary"
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield "webhook_url: must be https except on loopback"


def _processes(settings: Settings) -> Iterator[str]:
    yield from of_processes(settings.stdio_servers, settings.data)


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _database(settings: Settings) -> Iterator[str]:
    """Never shows any of it: where it cannot be read, nobody knows which part is the password."""
    if not settings.database_url:
        return
    try:
        url = make_url(settings.database_url)
    except (ArgumentError, ValueError):
        yield f"database_url: cannot be read; {DATABASE_FORM}"
        return
    if url.drivername not in {"postgresql", "sqlite"}:
        yield "database_url: must be a postgresql:// URL"
    elif not frozenset("@[]/").isdisjoint(url.host or ""):
        yield f"database_url: its host is none; {DATABASE_FORM}"


def _is_listen(value: str) -> bool:
    host, _, port = value.rpartition(":")
    return bool(host) and port.isdigit() and int(port) <= 65535


CHECKS = (
    _tls,
    _exposure,
    _counts,
    _origins,
    _addresses,
    _listeners,
    _database,
    _providers,
    _processes,
    _workloads,
    _webhook,
)
