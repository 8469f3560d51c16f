"""A database on one PostgreSQL server for each data directory, instead of the file in it."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.database import Database
from registry.schema import _upgrade as _migrate

if TYPE_CHECKING:
    import psycopg
    import pytest

ROOT = Path(__file__).parents[2]
_OPENS = re.compile(r"\b(?:sqlite_url|open_office|on_postgresql)\b")
_OURS = re.compile(r"^ *from (tests\.[\w.]+) import", re.MULTILINE)
_MIGRATED: Final = "migrated"
SERVER = "TESTS_POSTGRESQL_URL"  # in the environment, so that the processes that tests start see it too
_made: set[str] = set()


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
    name = "t" + hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:24]
    if name not in _made and not _exists(where, name):
        _tell(where, f'CREATE DATABASE "{name}" TEMPLATE {_MIGRATED}')
    _made.add(name)
    return _beside(where, name)


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


def drop_all() -> None:
    """Ends every database made here since the last time, with whoever is still connected to it."""
    where = server()
    while where is not None and _made:
        _tell(where, f'DROP DATABASE IF EXISTS "{_made.pop()}" WITH (FORCE)')


def _exists(where: str, name: str) -> bool:
    return _connection(where).execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _tell(where: str, statement: str) -> None:
    _connection(where).execute(statement.encode())


@cache
def _connection(where: str) -> psycopg.Connection[Any]:
    """One for all that this process tells the server; each would be a process of the server's."""
    import psycopg

    return psycopg.connect(where, autocommit=True)
