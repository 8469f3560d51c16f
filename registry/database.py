"""The database: one engine, a way to read and a way to change.

A change is one transaction that also moves the epoch of every concern it touches; each process watches the epochs and
builds its next snapshot from them. What does not change what a call may do (a sign-in, a consent) names no concern.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, SQLModel, create_engine

from registry.errors import DatabaseReplaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import Engine

Row = TypeVar("Row", bound=SQLModel)

NOTIFY_CHANNEL = "ostiary_epoch"
# Without these libpq waits for minutes for a machine that is gone, and our threads with it; a URL may say others.
_DEADLINES: Final = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 30}
_QUIET: Final = {"hide_parameters": True}  # the texts of its errors reach logs, and would carry hashes and secrets


class Concern(StrEnum):
    """What a snapshot is made of; each has its own epoch so that a policy change does not rebuild the catalogue."""

    CATALOGUE = "catalogue"
    POLICY = "policy"
    PEOPLE = "people"
    KEYS = "keys"
    CUTOFFS = "cutoffs"
    PERSONAL = "personal"


class Database:
    """The engine behind a SQLAlchemy URL; safe to share between threads, never used on the event loop."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine: Engine = _engine(url)
        self._file: tuple[int, int] | None = None

    @property
    def is_postgresql(self) -> bool:
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading; objects stay usable after it closes."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def change(self, *concerns: Concern) -> Iterator[Session]:
        """One transaction; committed when the block ends, undone when it raises. Moves the epochs of `concerns`."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            if not self.is_postgresql:
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            yield session
            self.move(session, *concerns)

    @contextmanager
    def driver(self) -> Iterator[Any]:
        """A cursor of the driver itself, for rows by the hundred; committed when the block ends.

        On SQLite whoever changes something begins the transaction. Raises SQLAlchemyError, whatever the driver raises.
        """
        connection = self.engine.raw_connection()
        try:
            yield connection.cursor()
            connection.commit()
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise DatabaseError(None, None, error) from error
        finally:
            connection.close()

    def epochs(self) -> dict[str, int]:
        """The present epoch of every concern. Raises DatabaseReplaced."""
        self._check_file()
        with self.driver() as cursor:  # every process asks this four times a second
            return dict(cursor.execute("SELECT concern, value FROM epoch").fetchall())

    def close(self) -> None:
        self.engine.dispose()

    def _check_file(self) -> None:
        """SQLite goes on with a file that was moved away, and never hears of what others change in the new one."""
        found = None if self.is_postgresql else _identity(self.url.database or "")
        if self._file is not None and found != self._file:
            raise DatabaseReplaced
        self._file = found

    def move(self, session: Session, *concerns: Concern) -> None:
        """Moves the epochs of `concerns` within a transaction that learned only on its way what it touches."""
        for concern in sorted(concerns):  # one order, so that two changes cannot deadlock
            session.connection().execute(
                text("UPDATE epoch SET value = value + 1 WHERE concern = :concern"), {"concern": str(concern)}
            )
        if concerns and self.is_postgresql:
            session.connection().execute(text(f"NOTIFY {NOTIFY_CHANNEL}"))


def _identity(file: str) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None where there is none (in memory)."""
    with suppress(FileNotFoundError):
        found = Path(file).stat()
        return found.st_dev, found.st_ino
    return None


def ensure(session: Session, row: Row) -> Row:
    """The stored row that has the key of `row`; added if there is none, and locked until the transaction ends.

    One statement does either, so that of two transactions at once the second waits and sees what the first did.
    """
    keys = _keys(row)
    _upsert(session, row, keys[:1])
    return session.get_one(type(row), tuple(getattr(row, key) for key in keys), populate_existing=True)


def upsert(session: Session, row: SQLModel) -> None:
    """Stores `row`, in place of the one that has its key if there is one; of two at once neither fails."""
    keys = _keys(row)
    _upsert(session, row, [name for name in row.model_dump() if name not in keys] or keys[:1])
    session.get(type(row), tuple(getattr(row, key) for key in keys), populate_existing=True)  # for who had read it


def _keys(row: SQLModel) -> list[str]:
    table: Table = type(row).__table__  # type: ignore[attr-defined]
    return [column.name for column in table.primary_key]


def _upsert(session: Session, row: SQLModel, changed: list[str]) -> None:
    table: Table = type(row).__table__  # type: ignore[attr-defined]
    session.flush()
    connection = session.connection()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(table).values(**row.model_dump())
    same = {name: new.excluded[name] for name in changed}
    connection.execute(new.on_conflict_do_update(index_elements=_keys(row), set_=same))


def sqlite_url(data: Path) -> str:
    """The default database of a data directory, whatever that is called: a ? or a % in a URL is something else."""
    return URL.create("sqlite", database=str(data / "ostiary.db")).render_as_string(hide_password=False)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        address = parsed.set(drivername="postgresql+psycopg")
        return create_engine(address, connect_args=_deadlines(parsed), pool_pre_ping=True, pool_size=5, **_QUIET)
    engine = create_engine(parsed, connect_args={"timeout": 15}, **_QUIET)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _deadlines(url: URL) -> dict[str, int]:
    return {name: value for name, value in _DEADLINES.items() if name not in url.query}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves, see `change`
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=15000"):
        connection.execute(f"PRAGMA {pragma}")
