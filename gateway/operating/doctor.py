"""What is missing before production, and why. Each question is a function that yields checks; nothing is changed."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import func, text
from sqlmodel import select

from authz.people.accounts import admins
from authz.policy.policy import load_policy
from authz.tables import SigningKey
from gateway.operating import signing_in
from gateway.operating.backup import LATEST
from gateway.operating.checks import Check, State
from gateway.operating.hidden import hidden, look
from gateway.operating.outbox import outbox
from gateway.operating.processes import processes
from gateway.operating.renewals import late, renew
from gateway.operating.standing import certificate_ending, resuming, unchecked
from gateway.operating.workloads import workloads
from gateway.settings import ArgumentRecord, is_loopback
from gateway.upstream.troubles import UNREAD
from registry.tables import AddressException, Server, ServerState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.office import Office

DAY = 86400.0
BACKUP_AGE = 7 * DAY
TLS_WARNING = 21 * DAY
CLOCK_DIFFERENCE = 5.0  # seconds between us and the database
DESCRIPTORS = 4096

AMBER, GREEN, RED = State.AMBER, State.GREEN, State.RED


def examine(office: Office, now: float | None = None) -> list[Check]:
    """Every question, worst answers first."""
    moment = time.time() if now is None else now
    checks = [check for question in QUESTIONS for check in question(office, moment)]
    return sorted(checks, key=lambda check: -check.state)


def _public_url(office: Office, _now: float) -> Iterator[Check]:
    settings = office.settings
    host = urlsplit(settings.base_url).hostname or ""
    if settings.secure:
        yield Check("public url", GREEN, settings.base_url)
    elif is_loopback(host):
        why = f"{settings.base_url} is for this machine only; clients that call from a cloud need https"
        yield Check("public url", AMBER, why, "ostiary up --public-url https://YOUR.HOST (TLS here or in a proxy)")
    else:
        why = "passwords and tokens cross the network in the clear"
        yield Check("public url", RED, why, "--public-url https://..., with --tls-cert/--tls-key or a proxy in front")


def _proxy(office: Office, _now: float) -> Iterator[Check]:
    settings = office.settings
    if settings.secure and settings.tls_cert is None and not settings.trusted_proxies:
        why = "a proxy ends TLS, and none is trusted: records and rate limits know only the proxy's address"
        yield Check("proxy", AMBER, why, "set trusted_proxies to the proxy's network")


def _tls(office: Office, now: float) -> Iterator[Check]:
    file = office.settings.tls_cert
    if file is None:
        return
    from cryptography.x509 import load_pem_x509_certificate

    try:
        left = load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc.timestamp() - now
    except OSError as error:
        yield Check("tls certificate", RED, f"{file} cannot be read ({error.strerror})", "let us read it")
        return
    except ValueError:
        why = f"{file} is not a certificate"
        yield Check("tls certificate", RED, why, "give a PEM file, our certificate first")
        return
    state = RED if left <= 0 else AMBER if left < TLS_WARNING else GREEN
    why = "has expired" if left <= 0 else f"expires in {left / DAY:.0f} days"
    yield Check("tls certificate", state, f"{file} {why}", "" if state is GREEN else "renew it, then restart")


def _admins(office: Office, _now: float) -> Iterator[Check]:
    with office.database.read() as session:
        count = admins(session)
    if count == 0:
        yield Check("administrators", RED, "there is none, so nobody can review servers", "ostiary admin link")
    elif count == 1:
        why = "there is one, who proposes and approves alone; with two, nobody approves what they proposed"
        yield Check("administrators", AMBER, why, "ostiary user admin NAME")
    else:
        yield Check("administrators", GREEN, f"{count}")


def _database(office: Office, now: float) -> Iterator[Check]:
    settings, database = office.settings, office.database
    if not database.is_postgresql:
        several = f"{settings.workers} workers share one SQLite file, which lets one write at a time"
        alone = "SQLite: one machine, one writer at a time; well enough for one process"
        remedy = "--database-url postgresql://... when there are several processes or machines"
        many = settings.workers > 1
        yield Check("database", AMBER if many else GREEN, several if many else alone, remedy if many else "")
        return
    with database.read() as session:
        there = float(session.connection().execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
    if abs(there - now) > CLOCK_DIFFERENCE:
        yield Check("clock", RED, f"the database's clock differs by {there - now:+.0f} s", "run NTP on both machines")
    else:
        yield Check("database", GREEN, "PostgreSQL")


def _keys(office: Office, now: float) -> Iterator[Check]:
    file = office.settings.data / "keys" / "master.key"
    if file.exists():
        why = f"{file} lies beside what it opens: whoever copies the directory has both"
        yield Check("master key", AMBER, why, "keep it in a secret store and give it as OSTIARY_MASTER_KEY")
        yield from _private(file, "key file")
    with office.database.read() as session:
        keys = session.exec(select(SigningKey)).all()
    if not any(key.signs_from <= now and (key.retired_at is None or key.retired_at > now) for key in keys):
        yield Check("signing key", RED, "there is none, so no token can be made", "start once with `ostiary up`")


def _secrets(office: Office, _now: float) -> Iterator[Check]:
    with office.database.read() as session:
        problems = office.vault.problems(session)
    if not problems:
        yield Check("secrets", GREEN)
    for problem in problems:
        remedy = "find out who can write to the database; then `ostiary server credential SLUG` or `idp secret SLUG`"
        yield Check("secrets", RED, problem, remedy)


def _files(office: Office, _now: float) -> Iterator[Check]:
    yield from _private(office.settings.data, "data directory")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS:
        why = f"at most {soft} files and connections may be open"
        yield Check("open files", AMBER, why, f"raise it to {DESCRIPTORS} or more (ulimit -n, LimitNOFILE)")


def _private(path: Path, name: str) -> Iterator[Check]:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        remedy = f"chmod {'700' if path.is_dir() else '600'} {path}"
        yield Check(name, RED, f"{path} can be read by others (mode {mode:o})", remedy)


def _demo(office: Office, _now: float) -> Iterator[Check]:
    if (office.settings.data / "demo.json").exists():
        why = "this data directory was furnished by the demo: its people, agent and policy are in it"
        yield Check("demo", AMBER, why, "begin production with a new --data directory, without --demo")


def _journal(office: Office, _now: float) -> Iterator[Check]:
    warnings = office.journal.warnings
    yield Check("journal", AMBER if warnings else GREEN, "; ".join(warnings))
    if office.settings.journal_arguments is ArgumentRecord.FULL:
        why = "arguments are recorded in full, secrets and personal data in them too"
        yield Check("journal arguments", AMBER, why, "journal_arguments = redacted")


def _backup(office: Office, now: float) -> Iterator[Check]:
    remedy = "ostiary backup FILE, daily, and the master key kept apart"
    try:
        age = now - float(msgspec.json.decode((office.settings.data / LATEST).read_bytes())["at"])
    except FileNotFoundError:
        yield Check("backup", AMBER, "none was ever made from this directory", remedy)
        return
    except (OSError, msgspec.DecodeError, KeyError, TypeError, ValueError):
        yield Check("backup", AMBER, f"when the last one was made cannot be read from {LATEST}", remedy)
        return
    state = AMBER if age > BACKUP_AGE else GREEN
    yield Check("backup", state, f"the last one is {age / DAY:.1f} days old", remedy if state else "")


def _openings(office: Office, _now: float) -> Iterator[Check]:
    """What is open by default, or was opened."""
    settings = office.settings
    beyond = not is_loopback(urlsplit(settings.base_url).hostname or "")
    if settings.insecure_bind:
        yield Check("insecure bind", RED, "the door may be opened beyond this machine without https", "leave it away")
    if settings.dynamic_registration and beyond:
        why = "whoever reaches us may register a client (RFC 7591); people still sign in and consent"
        yield Check("client registration", AMBER, why, "dynamic_registration = false where clients are known")
    if settings.operator_tokens and beyond:
        why = "whoever has a shell here may issue tokens for anybody (on record)"
        yield Check("operator tokens", AMBER, why, "operator_tokens = false")
    if settings.admin_listen is None and beyond:
        why = "administration is reachable wherever the portal is"
        yield Check("admin pages", AMBER, why, "admin_listen = host:port in a network of administrators")
    with office.database.read() as session:
        exceptions = session.exec(select(func.count()).select_from(AddressException)).one()
    if count := exceptions + len(settings.allow_addresses):
        why = f"{count} addresses are excepted from the rule of https to public addresses"
        yield Check("addresses", AMBER if beyond else GREEN, why, "ostiary server list shows the servers behind them")


def _metrics(office: Office, _now: float) -> Iterator[Check]:
    listen = office.settings.metrics_listen
    if not listen:
        yield Check("metrics", AMBER, "nothing is measured", "metrics_listen = 127.0.0.1:9464")
        return
    host, _, port = listen.rpartition(":")
    if port == "0":
        why = "their port is another one after each start"
        yield Check("metrics", AMBER, why, "metrics_listen = 127.0.0.1:9464")
    if not is_loopback(host.strip("[]")):
        why = f"{listen} is open to whoever reaches it: metrics name servers and say how much they are used"
        yield Check("metrics", AMBER, why, "let only the collector reach it, or listen on loopback")


def _policy(office: Office, now: float) -> Iterator[Check]:
    with office.database.read() as session:
        policy = load_policy(session, 0)
        servers = session.exec(select(Server).where(Server.state != ServerState.RETIRED)).all()
        away, behind = hidden(session), late(session)
    if policy.empty:
        yield Check("policy", AMBER, "no rule is in force: nobody may do anything", "ostiary policy add --help")
    if policy.broken:
        why = f"{len(policy.broken)} stored rules are not well formed and allow nothing: {', '.join(policy.broken[:5])}"
        yield Check("rules", RED, why, "ostiary policy remove RULE")
    for server in servers:
        yield from _server(server, now)
        if server.state == ServerState.APPROVED and server.slug in away:
            yield Check(f"server {server.slug}", AMBER, away[server.slug], look(server.slug))
        if server.slug in behind:
            yield Check(f"server {server.slug}", AMBER, str(behind[server.slug]), renew(server.slug))


def _server(server: Server, now: float) -> Iterator[Check]:
    name = f"server {server.slug}"
    if server.state == ServerState.SUSPENDED:
        yield Check(name, AMBER, f"is suspended: {server.suspended_because}", resuming(server))
    elif server.failing_since is not None:
        unread = f"{unchecked(server)}: " if server.trouble in UNREAD else ""
        why = f"fails for {now - server.failing_since:.0f} s: {unread}{server.failure}"
        yield Check(name, AMBER, why, f"ostiary server status {server.slug}")
    elif server.state == ServerState.SUBMITTED:
        yield Check(name, AMBER, "awaits its review", f"ostiary server show {server.slug}")
    ending = certificate_ending(server, now)
    if ending is not None:
        why, remedy = ending
        yield Check(name, RED if server.tls["until"] <= now else AMBER, why, remedy)


QUESTIONS = (
    _public_url,
    _proxy,
    _tls,
    _admins,
    *signing_in.QUESTIONS,
    _database,
    _keys,
    _secrets,
    _files,
    _demo,
    _journal,
    _backup,
    _openings,
    _metrics,
    processes,
    outbox,
    workloads,
    _policy,
)
