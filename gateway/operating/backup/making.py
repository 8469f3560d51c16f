"""A backup: every durable row and every segment of the journal in one file, in a form that any database takes back.

Left out on purpose: the master key, without which nothing sealed in the file opens; what meets in the rendezvous; and
sessions, codes, links and refresh tokens, because one that was revoked after the backup must not come back to life.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import tarfile
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec
from sqlalchemy import LargeBinary, select
from sqlmodel import SQLModel, col

import authz.tables  # noqa: F401
import registry.tables  # noqa: F401 - both fill the metadata
from gateway.journal.segments import SegmentName, is_alive
from gateway.office import operator
from registry.schema import HEAD
from registry.tables import Lease

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Table

    from gateway.office import Office
    from registry.database import Database

FORMAT = 1
MANIFEST = "manifest.json"
LATEST = "backup.json"  # in the data directory: when the last one was made, for `ostiary doctor`
PASSING = frozenset(
    {
        *("lease", "parcel", "letter", "tally", "failed_sign_ins"),
        *("browser_session", "code", "device_grant", "one_time_link", "refresh_token"),
        *("pending_connect", "notice"),
        *("foreign_session", "pending_sign_in", "personal_token", "scim_token"),
        *("journal_block", "journal_name"),  # made anew from the files
    }
)


@dataclass(frozen=True, slots=True)
class Made:
    """What went into a backup."""

    file: str
    rows: int
    segments: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last member: what is in the file, and a MAC over it by a key that only the master key leads to."""

    format: int
    version: str
    schema: str
    made_at: float
    members: dict[str, str]  # name → SHA-256
    running: bool = True  # whether a gateway may have gone on with it while this was made
    mac: str = ""

    def signed(self, key: bytes) -> Manifest:
        return msgspec.structs.replace(self, mac=self._mac(key))

    def is_signed(self, key: bytes) -> bool:
        return hmac.compare_digest(self.mac, self._mac(key))

    def _mac(self, key: bytes) -> str:
        bare = msgspec.json.encode(msgspec.structs.replace(self, mac=""), order="sorted")
        return hmac.new(key, bare, hashlib.sha256).hexdigest()


def make(office: Office, file: Path) -> Made:
    """Writes `file` (mode 0600), whole or not at all, while the gateway may be running. The act is on record first."""
    office.journal.note("backup.made", who=operator(), file=str(file))
    part = file.with_name(f".{file.name}.part")
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(fd, "wb") as stream:
            rows, segments = _write(office, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    (office.settings.data / LATEST).write_bytes(msgspec.json.encode({"at": time.time(), "file": str(file)}))
    return Made(str(file), rows, segments, file.stat().st_size)


def is_running(office: Office) -> bool:
    """Whether anybody but us writes a journal here, or leads something in a database that other machines share."""
    directory, ours = office.settings.journal, office.journal.writer
    writers = {file.name.removesuffix(".alive") for file in directory.glob("*.alive")} - {ours}
    if any(is_alive(directory, writer) for writer in writers):
        return True
    if not office.database.is_postgresql:
        return False
    with office.database.read() as session:
        return session.execute(select(Lease).where(col(Lease.until) > time.time())).first() is not None


def durable_tables() -> list[Table]:
    """In an order in which rows can be put back."""
    return [table for table in SQLModel.metadata.sorted_tables if table.name not in PASSING]


def _write(office: Office, stream: BinaryIO) -> tuple[int, int]:
    members: dict[str, str] = {}
    rows, running = 0, is_running(office)
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        with _moment(office.database) as connection:
            for table in durable_tables():
                rows += _put_rows(archive, members, connection, table)
            names = _segments(connection)
        # The journal after the rows: whatever the rows say was done is already on record.
        kept = [name for name in names if _put_segment(archive, members, office.settings.journal / name)]
        bare = Manifest(FORMAT, version("ostiary"), HEAD, time.time(), members, running or is_running(office))
        _put(archive, {}, MANIFEST, BytesIO(msgspec.json.encode(bare.signed(office.vault.key("backup")))))
    return rows, len(kept)


@contextmanager
def _moment(database: Database) -> Iterator[Connection]:
    """One consistent view of all tables, which holds nobody up."""
    level = {"isolation_level": "REPEATABLE READ"} if database.is_postgresql else {}
    with database.engine.connect().execution_options(**level) as connection:
        if not database.is_postgresql:
            connection.exec_driver_sql("BEGIN")
        yield connection
        connection.rollback()


def _put_rows(archive: tarfile.TarFile, members: dict[str, str], connection: Connection, table: Table) -> int:
    count = 0
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) as file:
        for row in connection.execute(select(table)).yield_per(500).mappings():
            file.write(msgspec.json.encode({c.name: _out(c.type, row[c.name]) for c in table.columns}) + b"\n")
            count += 1
        _put(archive, members, f"rows/{table.name}.jsonl", file)
    return count


def _out(kind: Any, value: Any) -> Any:
    if isinstance(kind, LargeBinary) and value is not None:
        return base64.b64encode(value).decode()
    return value


def _segments(connection: Connection) -> list[str]:
    table = SQLModel.metadata.tables["segment"]
    query = select(table.c.name).where(table.c.pruned_at.is_(None)).order_by(table.c.position)
    return [name for name in connection.execute(query).scalars() if SegmentName.parse(name) is not None]


def _put_segment(archive: tarfile.TarFile, members: dict[str, str], path: Path) -> bool:
    """The segment as far as its last whole line; one that another machine keeps is not ours to copy."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        end = _last_line_end(file)
        mode = path.stat().st_mode & 0o777
        file.seek(0)
        with tempfile.SpooledTemporaryFile(max_size=1 << 20) as copy:
            left = end
            while left and (piece := file.read(min(left, 1 << 20))):
                copy.write(piece)
                left -= len(piece)
            _put(archive, members, f"journal/{path.name}", copy, mode)
    return True


def _last_line_end(file: BinaryIO) -> int:
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        newline = file.read(end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _put(archive: tarfile.TarFile, members: dict[str, str], name: str, file: Any, mode: int = 0o600) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = file.seek(0, os.SEEK_END)
    entry.mode, entry.mtime = mode, int(time.time())
    file.seek(0)
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    members[name] = digest.hexdigest()
    file.seek(0)
    archive.addfile(entry, file)
