"""How settings agree with each other, with the machine, and with what is safe."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.upstream.channels.declared import problems as of_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.settings.fields import Fields

DATABASE_FORM = "write postgresql://NAME:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ and %2F for a / in the password"


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def contradictions(settings: Fields) -> Iterator[str]:
    """A sentence for each."""
    for check in CHECKS:
        yield from check(settings)


def _tls(settings: Fields) -> Iterator[str]:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_cert, tls_key: give both or neither"
    for name, path in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        if path is not None and not path.is_file():
            yield f"{name}: no file at {path}"
    key = settings.tls_key
    if key is not None and key.is_file() and key.stat().st_mode & 0o077:
        yield f"tls_key: {key} can be read by others; chmod 600 it"


def _exposure(settings: Fields) -> Iterator[str]:
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


def _counts(settings: Fields) -> Iterator[str]:
    if settings.workers > 1 and settings.port == 0:
        yield "port: several workers need a port of your choice, not 0"
    if settings.call_limit < settings.call_deadline:
        yield "call_limit: must not be shorter than call_deadline"


def _origins(settings: Fields) -> Iterator[str]:
    for origin in settings.allowed_origins:
        parts = urlsplit(origin)
        if "*" in origin or parts.scheme not in {"http", "https"} or not parts.hostname or parts.path:
            yield f"allowed_origins: {origin!r} must be scheme://host[:port]"


def _addresses(settings: Fields) -> Iterator[str]:
    for line in settings.allow_addresses:
        parts = urlsplit(line)
        if "*" in line or parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"}:
            yield f"allow_addresses: {line!r} must be scheme://host:port"


def _listeners(settings: Fields) -> Iterator[str]:
    for name, value in (("admin_listen", settings.admin_listen), ("metrics_listen", settings.metrics_listen)):
        if value and not _is_listen(value):
            yield f"{name}: {value!r} must be host:port"


def _providers(settings: Fields) -> Iterator[str]:
    for what, names in (
        ("slug", [one.slug for one in settings.identity_providers]),
        ("domain", [domain.lower() for one in settings.identity_providers for domain in one.domains]),
    ):
        yield from (f"identity_providers: the {what} {name} is there twice" for name in _twice(names))


def _workloads(settings: Fields) -> Iterator[str]:
    names = [one.name for one in settings.workload_tokens]
    yield from (f"workload_tokens: the name {name} is there twice" for name in _twice(names))


def _webhook(settings: Fields) -> Iterator[str]:
    parts = urlsplit(settings.webhook_url or "https://-")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.fragment:
        yield "webhook_url: must be an https URL, for instance https://hooks.example.com/ostiary"
    elif parts.scheme == "http" and not is_loopback(parts.hostname):
        yield "webhook_url: must be https except on loopback"


def _processes(settings: Fields) -> Iterator[str]:
    yield from of_processes(settings.stdio_servers, settings.data)


def _twice(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})


def _database(settings: Fields) -> Iterator[str]:
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
