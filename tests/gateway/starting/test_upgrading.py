"""A data directory of the version before: its secrets go on working, and from then on their page knows them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from gateway.assembly import open_office
from gateway.journal.index.search import Search, bearing, newest
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
    at_revision(database, "0001")
    with database.engine.begin() as connection:
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


def with_a_record_in_a_row_of_its_own(data: Path, calls: int) -> None:
    """As the third schema had the journal's index; no file is left of it, as where another machine wrote it."""
    data.mkdir()
    database = Database(sqlite_url(data))
    at_revision(database, "0003")
    row = (
        "INSERT INTO journal_entry (id, at, event, call, decision, segment, principal, server, object, outcome, line)"
        " VALUES (:id, :at, :event, :call, :decision, 'w-1.000001.jsonl', :who, :server, :object, :outcome, :line)"
    )
    with database.engine.begin() as connection:
        for number in range(calls):
            intent = {"event": "call.intent", "decision": f"d{number}", "who": "user:ä", "server": "notes"}
            ended = {"event": "call.outcome", "outcome": "ok"}
            for half, facts in enumerate((intent | {"object": "notes.add"}, ended)):
                seq, at = 2 * number + half + 1, float(number)
                empty = dict.fromkeys(("decision", "who", "server", "object", "outcome"), "")
                whole = {"seq": seq, "at": at, "call": f"c{number}", **facts}
                connection.execute(
                    text(row),
                    empty | facts | {"id": f"w-1/{seq}", "at": at, "call": f"c{number}", "line": json.dumps(whole)},
                )
    database.close()


def at_revision(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    with database.engine.begin() as connection:
        if database.is_postgresql:  # there tests begin with one that is migrated
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def test_what_was_copied_for_search_by_the_version_before_is_found_whoever_has_its_file(tmp_path: Path) -> None:
    with_a_record_in_a_row_of_its_own(tmp_path / "data", 700)
    office = open_office(Settings(data=tmp_path / "data"))
    with office.database.read() as session:
        found = list(newest(session, Search(who="user:ä", server="notes", object="notes.add")))
        assert [entry.id for entry in found] == [f"w-1/{2 * number + 1}" for number in reversed(range(700))]
        assert len(list(newest(session, Search(outcome="ok")))) == 700
        assert {entry.id for entry in bearing(session, {"d299"})} == {"w-1/599"}
        assert {entry.id for entry in bearing(session, {"c699"})} == {"w-1/1399", "w-1/1400"}
    office.close()
