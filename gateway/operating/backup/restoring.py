"""Putting a backup back: checked whole before anything is made, staged beside the place, moved there in one step."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import tarfile
import time
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import LargeBinary, delete, func, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gateway.assembly import MASTER_KEY, open_office
from gateway.journal.segments import SegmentName
from gateway.office import operator
from gateway.operating.backup.making import FORMAT, MANIFEST, Manifest, durable_tables
from gateway.operating.backup.reviving import revived
from gateway.settings.loading import ConfigurationError
from registry.database import Database, sqlite_url
from registry.schema import HEAD, migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Table
    from sqlmodel import Session

    from gateway.settings import Settings

BATCH = 500
RUNNING = (
    "{file} was made while the gateway was running, so nobody can know what was ended since: stop it, make another "
    "backup, and restore that with --move; or restore this one without, and accounts and delegations are begun anew"
)
_MEMBER = re.compile(r"rows/[a-z_]{1,64}\.jsonl|journal/[A-Za-z0-9-]{1,128}\.\d{6}\.jsonl")
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, msgspec.DecodeError, KeyError, ValueError)


class RestoreRefused(Exception):
    """What is wrong and what to do; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Restored:
    """When the backup was made, and how many accounts and delegations have to be begun anew: after a `move` none."""

    made_at: float
    connections: int
    delegations: int
    move: bool = False


def restore(settings: Settings, file: Path, master_key: Path | None, *, move: bool = False) -> Restored:
    """Makes `settings.data` (and the PostgreSQL database, if there is one) what `file` says.

    With `move` the gateway that it was made of was off by then and stays off, so nothing was ended since.
    """
    data = settings.data
    _refuse_used(data)
    manifest = _checked(file)
    if move and manifest.running:
        raise RestoreRefused(RUNNING.format(file=file))
    staged = data.with_name(f".{data.name}.restoring")
    if staged.exists():
        shutil.rmtree(staged)
    try:
        ended = _stage(settings, staged, file, manifest, master_key, move=move)
        if settings.database_url is not None:
            _fill(Database(settings.database_url), file, move=move)
            sqlite_file = staged / "ostiary.db"
            for path in staged.glob(f"{sqlite_file.name}*"):
                path.unlink()
        if data.exists():
            shutil.rmtree(data)  # empty, or with nothing but the keys, which are staged
        staged.rename(data)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    restored = Restored(manifest.made_at, ended["connection"], ended["delegation"], move)
    _record(settings, file, restored)
    return restored


def _refuse_used(data: Path) -> None:
    if data.exists() and any(entry.name != "keys" for entry in data.iterdir()):
        raise RestoreRefused(f"{data} is not empty: move it away first, or restore to another with --data DIR")


def _checked(file: Path) -> Manifest:
    """The manifest, when the file is whole and every member is the one it names."""
    digests: dict[str, str] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(file, "r:gz") as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isreg() else None
                if content is None or (entry.name != MANIFEST and not _MEMBER.fullmatch(entry.name)):
                    raise RestoreRefused(f"{file} has a member that no backup has: {entry.name[:80]!r}")
                if entry.name == MANIFEST:
                    manifest = msgspec.json.decode(content.read(), type=Manifest)
                elif entry.name in digests:
                    raise RestoreRefused(f"{file} has a member twice: {entry.name}")
                else:
                    digests[entry.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    except FileNotFoundError as error:
        raise RestoreRefused(f"there is no {file}") from error
    except _BROKEN as error:
        raise RestoreRefused(f"{file} is not a whole backup: take another one") from error
    if manifest is None:
        raise RestoreRefused(f"{file} is not a whole backup (it has no {MANIFEST}): take another one")
    return _agrees(file, manifest, digests)


def _agrees(file: Path, manifest: Manifest, digests: dict[str, str]) -> Manifest:
    if manifest.format != FORMAT or manifest.schema != HEAD:
        raise RestoreRefused(
            f"{file} was made by version {manifest.version} (schema {manifest.schema}; this is {HEAD}): "
            "restore it with that version, then start this one"
        )
    if digests != manifest.members:
        raise RestoreRefused(f"{file} was changed after it was made: take another one")
    return manifest


def _stage(
    settings: Settings, staged: Path, file: Path, manifest: Manifest, master_key: Path | None, *, move: bool
) -> Counter[str]:
    """Everything in a directory of its own, opened once with the master key to see that the two belong together."""
    staged.mkdir(mode=0o700, parents=True)
    _put_key(staged, settings.data / "keys" / "master.key" if master_key is None else master_key)
    ended = _fill(Database(sqlite_url(staged)), file, move=move)
    _put_journal(staged / "journal", file)
    try:
        office = open_office(settings.model_copy(update={"data": staged, "database_url": None}))
    except ConfigurationError as refused:
        raise RestoreRefused(f"{refused}; give the right one with --master-key FILE or OSTIARY_MASTER_KEY") from refused
    signed = manifest.is_signed(office.vault.key("backup"))
    office.close()
    if not signed:
        raise RestoreRefused(f"{file} was not made by the gateway that this master key belongs to")
    return ended


def _put_key(staged: Path, source: Path) -> None:
    if not source.is_file():
        if MASTER_KEY in os.environ:
            return
        raise RestoreRefused(f"there is no master key at {source}: give it with --master-key FILE, or as {MASTER_KEY}")
    target = staged / "keys" / "master.key"
    target.parent.mkdir(mode=0o700)
    target.touch(mode=0o600)
    target.write_bytes(source.read_bytes())


def _fill(database: Database, file: Path, *, move: bool) -> Counter[str]:
    """All rows in one transaction, into a database that has none; how many were ended on the way, by table."""
    ended: Counter[str] = Counter()
    try:
        migrate(database)
        with database.change() as session, _members(file) as members:
            _refuse_filled(session)
            tables = {f"rows/{table.name}.jsonl": table for table in durable_tables()}
            for name, content in members:
                if name in tables:
                    _put_rows(session, tables[name], content, ended, move=move)
    except SQLAlchemyError as error:
        raise RestoreRefused("the database does not take the rows: see that it is there, and new") from error
    finally:
        database.close()
    return ended


def _refuse_filled(session: Session) -> None:
    for table in durable_tables():
        if table.name == "epoch":
            session.execute(delete(table))  # a fresh schema has its own; the backup's go on counting
        elif session.execute(select(func.count()).select_from(table)).scalar():
            raise RestoreRefused("the database is not empty: restore into a new one")


def _put_rows(session: Session, table: Table, content: Any, ended: Counter[str], *, move: bool) -> None:
    now = time.time()
    batch: list[dict[str, Any]] = []
    for line in content:
        batch.append(_row(table, msgspec.json.decode(line)))
        revived(table.name, batch[-1], now, ended, move=move)
        if len(batch) == BATCH:
            session.execute(insert(table), batch)
            batch = []
    if batch:
        session.execute(insert(table), batch)


def _row(table: Table, fields: dict[str, Any]) -> dict[str, Any]:
    return {column.name: _in(column.type, fields[column.name]) for column in table.columns}


def _in(kind: Any, value: Any) -> Any:
    return base64.b64decode(value) if isinstance(kind, LargeBinary) and value is not None else value


def _put_journal(directory: Path, file: Path) -> None:
    directory.mkdir(mode=0o700)
    with tarfile.open(file, "r:gz") as archive:
        for entry in archive:
            name = entry.name.removeprefix("journal/")
            content = archive.extractfile(entry)
            if name == entry.name or content is None or SegmentName.parse(name) is None:
                continue
            with (directory / name).open("xb") as target:
                shutil.copyfileobj(content, target)
            (directory / name).chmod(0o600 if entry.mode & 0o200 else 0o400)


@contextmanager
def _members(file: Path) -> Iterator[Iterator[tuple[str, Any]]]:
    with tarfile.open(file, "r:gz") as archive:
        yield ((entry.name, archive.extractfile(entry)) for entry in archive)


def _record(settings: Settings, file: Path, restored: Restored) -> None:
    office = open_office(settings)
    try:
        office.journal.note("backup.restored", who=operator(), file=str(file), **asdict(restored))
    finally:
        office.close()
