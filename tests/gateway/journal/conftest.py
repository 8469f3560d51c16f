from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from sqlmodel import col, select

from authz.principals import Principal, VerifiedClaims
from gateway.journal.index.blocks import entries
from gateway.journal.writer import FileJournal, open_journal
from registry.database import Database, sqlite_url
from registry.schema import migrate
from registry.tables import JournalBlock, Segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gateway.journal.index.blocks import Entry

KEY = b"k" * 32


def principal(label: str = "user:editor", **fields: Any) -> Principal:
    return Principal(
        claims=VerifiedClaims({}), issuer="https://door.example", subject="usr_1", label=label, subjects=frozenset(),
        client="editor", scopes=frozenset({"mcp"}), resource="https://door.example/mcp", expires_at=0, **fields,
    )  # fmt: skip


def intend(journal: FileJournal, call: str = "c1", arguments: bytes = b"{}", **fields: Any) -> None:
    facts: dict[str, Any] = {"method": "tools/call", "server": "notes", "object": "notes.add", "decision": f"d-{call}"}
    facts |= {"rule": "r1", "epoch": 3, "portal": "default", "request_id": "q1", "era": "modern"}
    who = fields.pop("who", None) or principal()
    facts |= fields
    ids = {name: facts.pop(name) for name in ("decision", "request_id", "value", "held") if name in facts}
    journal.intend(journal.about(who, **facts), call=call, arguments=arguments, **ids)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def events(directory: Path) -> list[str]:
    return [line["event"] for line in lines(directory)]


def calls(journal: FileJournal, number: int, **fields: Any) -> None:
    for one in range(number):
        intend(journal, f"c{one}", **fields)
        journal.conclude(f"c{one}", "ok")


def stored(database: Database) -> list[Entry]:
    """What is copied of all segments."""
    with database.read() as session:
        blocks = session.exec(select(JournalBlock).order_by(col(JournalBlock.until))).all()
        return [entry for block in blocks for entry in entries(block)]


def rows(database: Database) -> Sequence[Segment]:
    with database.read() as session:
        return session.exec(select(Segment)).all()


def booked(database: Database, number: int) -> None:
    """The rows come a moment later than the segments."""
    deadline = time.monotonic() + 60
    while len(rows(database)) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def opened(directory: Path) -> Iterator[Callable[..., FileJournal]]:
    """Opens journals in one directory, and closes them in the end."""
    journals: list[FileJournal] = []

    def open_one(**options: Any) -> FileJournal:
        journals.append(open_journal(directory, KEY, **options))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()
