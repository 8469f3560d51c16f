"""What is kept, and whether it is safe there: database, keys, secrets, files, journal, backup. For `ostiary doctor`."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import text
from sqlmodel import select

from authz.tables import SigningKey
from gateway.journal.index.copying import Indexer
from gateway.journal.segments import is_alive
from gateway.operating.backup.making import LATEST
from gateway.operating.checks import Check, State
from gateway.operating.health import index
from gateway.settings import ArgumentRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.office import Office

DAY: Final = 86400.0
BACKUP_AGE: Final = 7 * DAY
CLOCK_DIFFERENCE: Final = 5.0  # seconds between us and the database
DESCRIPTORS: Final = 4096
AMBER, GREEN, RED = State.AMBER, State.GREEN, State.RED


def database(office: Office, now: float) -> Iterator[Check]:
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


def keys(office: Office, now: float) -> Iterator[Check]:
    file = office.settings.data / "keys" / "master.key"
    if file.exists():
        why = f"{file} lies beside what it opens: whoever copies the directory has both"
        yield Check("master key", AMBER, why, "keep it in a secret store and give it as OSTIARY_MASTER_KEY")
        yield from _private(file, "key file")
    with office.database.read() as session:
        keys = session.exec(select(SigningKey)).all()
    if not any(key.signs_from <= now and (key.retired_at is None or key.retired_at > now) for key in keys):
        yield Check("signing key", RED, "there is none, so no token can be made", "start once with `ostiary up`")


def secrets(office: Office, _now: float) -> Iterator[Check]:
    with office.database.read() as session:
        problems = office.vault.problems(session)
    if not problems:
        yield Check("secrets", GREEN)
    for problem in problems:
        remedy = "find out who can write to the database; then `ostiary server credential SLUG` or `idp secret SLUG`"
        yield Check("secrets", RED, problem, remedy)


def files(office: Office, _now: float) -> Iterator[Check]:
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


def demo(office: Office, _now: float) -> Iterator[Check]:
    if (office.settings.data / "demo.json").exists():
        why = "this data directory was furnished by the demo: its people, agent and policy are in it"
        yield Check("demo", AMBER, why, "begin production with a new --data directory, without --demo")


def journal(office: Office, _now: float) -> Iterator[Check]:
    warnings = office.journal.warnings
    yield Check("journal", AMBER if warnings else GREEN, "; ".join(warnings))
    if office.settings.journal_arguments is ArgumentRecord.FULL:
        why = "arguments are recorded in full, secrets and personal data in them too"
        yield Check("journal arguments", AMBER, why, "journal_arguments = redacted")


def journal_index(office: Office, _now: float) -> Iterator[Check]:
    """Of the writers that live: where nothing runs, nobody copies, and a search does it first."""
    directory = office.settings.journal
    indexer = Indexer(directory, office.database)
    alive = [writer for writer in indexer.writers() if is_alive(directory, writer)]
    yield from index(max(map(indexer.waiting, alive), default=0.0))


def backup(office: Office, now: float) -> Iterator[Check]:
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
