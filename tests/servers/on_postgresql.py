"""A database on one PostgreSQL server for each data directory, instead of the file in it."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_OPENS = re.compile(r"\b(?:sqlite_url|open_office|on_postgresql)\b")
_OURS = re.compile(r"^ *from (tests\.[\w.]+) import", re.MULTILINE)
SERVER = "TESTS_POSTGRESQL_URL"  # in the environment, so that the processes that tests start see it too
_made: set[str] = set()


def server() -> str | None:
    """The URL of the server's own database, or None where tests run on SQLite."""
    return os.environ.get(SERVER)


def use(url: str) -> None:
    os.environ[SERVER] = url


def url_for(data: Path) -> str:
    """The URL of the database that belongs to `data`, made when first asked for."""
    where = server()
    assert where is not None
    name = "t" + hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:24]
    if name not in _made and not _exists(where, name):
        _tell(where, f'CREATE DATABASE "{name}"')
    _made.add(name)
    return where.rpartition("/")[0] + f"/{name}"


@cache
def opens_a_database(module: Path) -> bool:
    """Whether a module of tests does, or one of ours that it imports, or a conftest. Others are the same on any."""
    seen: set[Path] = set()
    ahead = [module, module.parent / "conftest.py"]
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


def drop_all() -> None:
    """Ends every database made here since the last time, with whoever is still connected to it."""
    where = server()
    while where is not None and _made:
        _tell(where, f'DROP DATABASE IF EXISTS "{_made.pop()}" WITH (FORCE)')


def _exists(where: str, name: str) -> bool:
    import psycopg

    with psycopg.connect(where) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return found is not None


def _tell(where: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(where, autocommit=True) as connection:
        connection.execute(statement.encode())
