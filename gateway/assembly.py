"""Builds the concrete objects of a process from its settings; the only place that knows them all."""

from __future__ import annotations

import fcntl
import os
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from gateway.journal import JournalDown
from gateway.journal.writer import open_journal
from gateway.office import Office
from gateway.settings.loading import ConfigurationError
from registry.database import Database, sqlite_url
from registry.errors import SecretRefused
from registry.schema import migrate
from registry.secrets.master_key import decode
from registry.secrets.vault import Vault

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.settings import Settings
    from gateway.world import World

MASTER_KEY = "OSTIARY_MASTER_KEY"
ADDRESS_FILE = "address"
WITHOUT_PAGES = "0001"  # the schema that had secrets and no page that knows them
_LOST = (
    "database_url: {data} was in use, and there is no {file}; give the --database-url of the gateway (or "
    "OSTIARY_DATABASE_URL); if the file was lost, `ostiary restore` a backup to another directory"
)
_NO_GATEWAY = (
    "data: {data} is no gateway's: there is no {file}; give --data DIR (and --database-url, if it uses PostgreSQL), "
    "or start once with `ostiary up`"
)


def open_office(settings: Settings, *, create: bool = False, role: str = "cli") -> Office:
    """The control plane's objects. With `create`, makes what a first start makes; otherwise says that there is none."""
    _data_directory(settings, create=create)
    url = settings.database_url or sqlite_url(settings.data)
    _check_database(url, settings, create=create)
    database = Database(url)
    try:
        before = migrate(database)
    except SQLAlchemyError as error:
        database.close()
        raise ConfigurationError([_unreachable(database, error)]) from error
    try:
        vault = Vault.open(settings.data, database, _master_key())
        if before == WITHOUT_PAGES:
            with database.change() as session:
                vault.adopt(session)
    except SecretRefused as refused:
        database.close()
        raise ConfigurationError([f"data: {refused}"]) from refused
    try:
        journal = open_journal(
            settings.journal,
            vault.key("journal"),
            database,
            settings.journal_arguments,
            settings.journal_durability,
            role,
        )
    except JournalDown as down:
        database.close()
        raise ConfigurationError([f"data: {down}"]) from down
    return Office(settings=settings, database=database, vault=vault, journal=journal)


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Held for as long as the door of this data directory is open: a second one would change addresses under the first.

    A record lock of POSIX: it goes with the process that holds it, and is not handed on to workers.
    """
    _data_directory(settings, create=True)
    with (settings.data / "lock").open("w") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            problem = (
                f"data: another `ostiary up` is running on {settings.data}; stop it, or give --data another directory"
            )
            raise ConfigurationError([problem]) from error
        yield


def remember(settings: Settings) -> None:
    """Notes where the door is, so that commands on the same data directory name the same address."""
    (settings.data / ADDRESS_FILE).write_text(settings.base_url)


def remembered(settings: Settings) -> Settings:
    """The settings with the address of the last `ostiary up`, unless they say one themselves."""
    file = settings.data / ADDRESS_FILE
    if settings.public_url is not None or not file.is_file():
        return settings
    return settings.model_copy(update={"public_url": file.read_text().strip()})


@asynccontextmanager
async def open_world(office: Office) -> AsyncIterator[World]:
    """One serving process on the running loop; closes what it opened, but not the office."""
    from authz.tokens.access import TokenVerifier
    from gateway.credentials.holding import Credentials
    from gateway.fetch import Fetcher
    from gateway.identity.providers import Providers
    from gateway.oauth.evidence.keysets import KeySets
    from gateway.operating.telemetry import Telemetry
    from gateway.portal.calls.underway import Underway
    from gateway.rendezvous.memory import MemoryRendezvous
    from gateway.rendezvous.shared import SharedRendezvous
    from gateway.snapshots import Snapshots
    from gateway.upstream.connections import open_upstreams
    from gateway.world import World

    settings = office.settings
    single = settings.workers == 1 and settings.database_url is None
    rendezvous = MemoryRendezvous() if single else SharedRendezvous(office.database)
    telemetry = Telemetry(settings)
    upstreams = open_upstreams(office, rendezvous)
    fetcher = Fetcher(settings.allow_addresses)
    providers = Providers(office)
    credentials = Credentials(office, providers)
    try:
        yield World(
            office=office,
            snapshots=Snapshots(office),
            rendezvous=rendezvous,
            verifier=TokenVerifier(
                settings.base_url,
                operator_tokens=settings.operator_tokens,
                personal_tokens=settings.personal_tokens,
            ),
            upstreams=upstreams,
            credentials=credentials,
            fetcher=fetcher,
            providers=providers,
            keysets=KeySets(fetcher),
            underway=Underway(),
            telemetry=telemetry,
        )
    finally:
        await credentials.finish()
        await upstreams.close()
        await rendezvous.close()
        telemetry.close()


def _data_directory(settings: Settings, *, create: bool) -> None:
    data = settings.data
    if not create:
        if not data.is_dir():
            raise ConfigurationError([f"data: there is no {data}; give --data DIR, or start once with `ostiary up`"])
        return
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([f"data: {data} cannot be made ({error.strerror})"]) from error
    if not os.access(data, os.W_OK | os.X_OK):
        raise ConfigurationError([f"data: {data} cannot be written by this user"])


def _check_database(url: str, settings: Settings, *, create: bool) -> None:
    """No new database beside an old record: who forgot to name PostgreSQL would change a policy that nobody asks.

    And none by a command in a directory that was never a gateway's: `audit verify` would call nothing at all sound.
    """
    parsed = make_url(url)
    file = parsed.database or ""
    if parsed.get_backend_name() != "sqlite" or Path(file).exists():
        return
    if any(settings.journal.glob("*.jsonl")):
        raise ConfigurationError([_LOST.format(data=settings.data, file=file)])
    if not create:
        raise ConfigurationError([_NO_GATEWAY.format(data=settings.data, file=file)])
    with suppress(OSError):  # which the database is about to say
        Path(file).touch(mode=0o600)  # SQLite would let everybody read it, where the directory was there before


def _master_key() -> bytes | None:
    value = os.environ.get(MASTER_KEY)
    if value is None:
        return None
    try:
        return decode(value)
    except SecretRefused as refused:
        raise ConfigurationError([f"{MASTER_KEY}: {refused}"]) from refused


def _unreachable(database: Database, error: SQLAlchemyError) -> str:
    words = str(getattr(error, "orig", "")).strip() or type(error).__name__
    shown = database.url.set(query={}).render_as_string(hide_password=True)  # a password may be in the query too
    return f"database_url: {shown} cannot be used: {words.splitlines()[0]}"
