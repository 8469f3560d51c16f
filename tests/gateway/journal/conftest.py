from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from authz.principals import Principal, VerifiedClaims
from gateway.journal.writer import FileJournal, open_journal
from registry.database import Database, sqlite_url
from registry.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
