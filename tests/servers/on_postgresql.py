"""A database on one PostgreSQL server for each data directory, instead of the file in it."""

from __future__ import annotations

import inspect
import os
import re
import secrets
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.database import Concern, Database
from registry.schema import _upgrade as _migrate

if TYPE_CHECKING:
    import psycopg
    import pytest

ROOT = Path(__file__).parents[2]
_OPENS = re.compile(r"\b(?:sqlite_url|open_office|on_postgresql)\b")
_OURS = re.compile(r"^ *from (tests\.[\w.]+) import", re.MULTILINE)
_MIGRATED: Final = "migrated"
_EMPTY: Final = """
SET session_replication_role = replica;
DO $$ DECLARE one name; BEGIN
FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', one);
END LOOP;
FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', one);
END LOOP;
END $$
"""
_SHAPE: Final = """
SELECT (SELECT version_num FROM alembic_version),
    (SELECT count(*) FROM pg_attribute JOIN pg_class ON oid = attrelid WHERE relnamespace = 'public'::regnamespace)
"""
GOING: Final = 0.2  # seconds for a connection that was closed to be gone at the server too
SERVER = "TESTS_POSTGRESQL_URL"  # in the environment, so that the processes that tests start see it too
_of: dict[Path, str] = {}  # the database of a data directory
_clean: list[str] = []  # as the first one is, and nobody's


def server() -> str | None:
    """The URL of the server's own database, or None where tests run on SQLite."""
    return os.environ.get(SERVER)


def use(url: str) -> None:
    """From now on; every database here begins as a copy of one that is migrated."""
    _tell(url, f"CREATE DATABASE {_MIGRATED}")
    made = Database(_beside(url, _MIGRATED))
    _migrate(made)
    made.close()
    os.environ[SERVER] = url


def url_for(data: Path) -> str:
    """The URL of the database that belongs to `data`, made when first asked for."""
    where = server()
    assert where is not None
    found = _of.get(data.resolve()) or (_clean.pop() if _clean else _made(where))
    _of[data.resolve()] = found
    return _beside(where, found)


def _made(where: str) -> str:
    name = f"t{secrets.token_hex(8)}"
    _tell(where, f"CREATE DATABASE {name} TEMPLATE {_MIGRATED}")
    return name


def _beside(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


def concerns(item: pytest.Item) -> bool:
    """Whether a test may open a database: its module does, or what that imports, or where a fixture of it is made."""
    info = getattr(item, "_fixtureinfo", None)
    made = [found[-1].func for found in info.name2fixturedefs.values()] if info else []
    files = {Path(inspect.unwrap(fixture).__code__.co_filename) for fixture in made if inspect.isroutine(fixture)}
    ours = {file for file in files if ROOT in file.parents} - {ROOT / "tests/conftest.py"}
    return any(opens_a_database(file) for file in {item.path, *ours})


@cache
def opens_a_database(module: Path) -> bool:
    """Whether a module of tests does, or one of ours that it imports. Others are the same on any."""
    seen: set[Path] = set()
    ahead = [module]
    while ahead:
        path = ahead.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        text = path.read_text()
        if _OPENS.search(text):
            return True
        ahead += [ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in _OURS.findall(text)]
    return False


def environment(data: Path) -> dict[str, str]:
    """What a process of ours has to be told about the database of `data`."""
    return {"OSTIARY_DATABASE_URL": url_for(data)} if server() else {}


def leave() -> None:
    """The server; it is asked nothing any more."""
    where = server()
    if where is not None and _connection.cache_info().currsize:
        _connection(where).close()
        _connection.cache_clear()


def let_go(place: Path | None = None) -> None:
    """The databases of data directories in `place`, or of all there are, are for others; emptying takes a tenth of
    the time that a new one does.
    """
    where = server()
    for data in [data for data in _of if place is None or data.is_relative_to(place.resolve())]:
        assert where is not None
        name = _of.pop(data)
        if _is_left(where, name) and _emptied(_beside(where, name)):
            _clean.append(name)
        else:
            _tell(where, f"DROP DATABASE {name} WITH (FORCE)")


def _is_left(where: str, name: str) -> bool:
    """Whether nobody is connected any more; whoever was until just now needs a moment to go."""
    end = time.monotonic() + GOING
    counting = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    while _connection(where).execute(counting, (name,)).fetchone() != (0,):
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def _emptied(url: str) -> bool:
    """Whether it is as it was in the beginning."""
    import psycopg

    with psycopg.connect(url) as connection:
        try:
            connection.execute(_EMPTY)
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO epoch VALUES (%s, 1)", [(str(concern),) for concern in Concern])
            return bool(connection.execute(_SHAPE).fetchone() == _shape(url))
        except psycopg.Error:
            connection.rollback()
            return False


@cache
def _shape(url: str) -> Any:
    """Of the one that all are copies of."""
    import psycopg

    with psycopg.connect(_beside(url, _MIGRATED)) as connection:
        return connection.execute(_SHAPE).fetchone()


def _tell(where: str, statement: str) -> None:
    _connection(where).execute(statement.encode())


@cache
def _connection(where: str) -> psycopg.Connection[Any]:
    """One for all that this process tells the server; each would be a process of the server's."""
    import psycopg

    return psycopg.connect(where, autocommit=True)
