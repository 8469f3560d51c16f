"""A data directory of the version before: its secrets go on working, and from then on their page knows them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gateway.assembly import open_office
from gateway.settings import Settings
from registry.database import Database, sqlite_url
from registry.errors import SecretRefused
from registry.schema import scripts
from registry.secrets import master_key, vault

if TYPE_CHECKING:
    from pathlib import Path

LINE = b"Authorization: Bearer old"


def of_the_version_before(data: Path) -> None:
    """As its first start and `server add` left it: a data key, and a secret without a page."""
    data.mkdir()
    key, master = os.urandom(32), master_key.read(data, fresh=True)
    wrapped = vault._seal(vault.AESGCM(master), key, vault._key_place("1"))
    sealed = vault._seal(vault.AESGCM(key), LINE, vault._place("server:notes", "header", 1))
    database = Database(sqlite_url(data))
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    with database.engine.begin() as connection:
        if database.is_postgresql:  # there tests begin with one that is migrated
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO data_key VALUES ('1', :wrapped, 1)"), {"wrapped": wrapped})
        row = (
            "INSERT INTO secret (owner, purpose, version, key_id, sealed) VALUES ('server:notes', 'header', 1, '1', :s)"
        )
        connection.execute(text(row), {"s": sealed})
    database.close()


def test_the_secrets_of_the_version_before_open_and_are_on_their_page(tmp_path: Path) -> None:
    of_the_version_before(tmp_path / "data")
    for _ in range(2):
        office = open_office(Settings(data=tmp_path / "data"))
        with office.database.read() as session:
            assert office.vault.open_secret(session, "server:notes", "header") == LINE
            assert office.vault.problems(session) == []
        office.close()


def test_pages_are_made_once_and_never_again(tmp_path: Path) -> None:
    """Whoever takes the page away does not get an older secret taken for the right one at the next start."""
    of_the_version_before(tmp_path / "data")
    open_office(Settings(data=tmp_path / "data")).close()
    database = Database(sqlite_url(tmp_path / "data"))
    with database.change() as session:
        session.execute(text("DELETE FROM vault_page"))
    database.close()
    office = open_office(Settings(data=tmp_path / "data"))
    with office.database.read() as session, pytest.raises(SecretRefused):
        office.vault.open_secret(session, "server:notes", "header")
    office.close()
