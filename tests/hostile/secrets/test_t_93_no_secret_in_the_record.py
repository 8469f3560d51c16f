"""T-93, the journal's side: a canary in any argument named or shaped like a secret, or in any fact named like one.

Neither the files nor the index nor an error holds it, plain, in Base64, in hex or reversed.
"""

from __future__ import annotations

import base64
import json
import traceback
from typing import TYPE_CHECKING

import pytest

from authz.principals import Principal, VerifiedClaims
from gateway.journal import JournalDown
from gateway.journal.index.copying import Indexer
from gateway.journal.segments import Disk
from gateway.journal.writer import FileJournal, open_journal
from registry.database import Database, sqlite_url
from registry.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

KEY = b"key-of-the-journal-canary-000000"
CANARY = "canary4f1d9e"
NAMED = [
    "password",
    "client_secret",
    "access_token",
    "api_key",
    "Authorization",
    "cookie",
    "private_key",
    "credentials",
]
SHAPED = [
    f"eyJhbGciOiJub25lIn0.{CANARY}.sig",
    f"Bearer {CANARY}-0123",
    f"https://user:{CANARY}@host.example/",
    f"https://host.example/?token={CANARY}",
    f"ost_pat_{CANARY}",
    f"ghp_{CANARY}0123",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}",
]


def intend(journal: FileJournal, call: str, arguments: bytes) -> None:
    claims = VerifiedClaims({"jti": CANARY, "raw": CANARY})
    who = Principal(
        claims=claims, issuer="", subject="usr_1", label="user:ada", subjects=frozenset(), client="c",
        scopes=frozenset(), resource="", expires_at=0,
    )  # fmt: skip
    about = journal.about(
        who, method="tools/call", server="s", object="s.t", rule="r", epoch=1, portal="default", era="modern"
    )
    journal.intend(about, call=call, decision="d", request_id="q", arguments=arguments)


def all_of_it(directory: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def assert_clean(content: bytes, *secrets: str) -> None:
    for secret in secrets:
        raw = secret.encode()
        forms = [raw, base64.b64encode(raw).rstrip(b"=")[:-1], raw.hex().encode(), raw[::-1]]
        assert not [form for form in forms if form.lower() in content.lower()]


def test_t_93_no_canary_reaches_files_or_index(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    migrate(database)
    journal = open_journal(tmp_path / "journal", KEY, database)
    for number, name in enumerate(NAMED):
        intend(journal, f"n{number}", json.dumps({"in": [{name: CANARY}], name: {"deep": [CANARY]}}).encode())
        journal.note("probe", who="test", **{name.lower(): CANARY} if name in {"password", "cookie"} else {})
    for number, value in enumerate(SHAPED):
        intend(journal, f"s{number}", json.dumps({"text": value, "list": [value], value: value}).encode())
    intend(journal, "large", json.dumps({"text": "x" * 5000, "password": CANARY}).encode())
    intend(journal, "broken", f'{{"text": "{CANARY}"'.encode())
    journal.note("probe", who="test", token=CANARY, secret=CANARY, code=CANARY)
    journal.close()
    Indexer(tmp_path / "journal", database).catch_up()
    database.close()
    content = all_of_it(tmp_path)
    assert content.count(b'"call.intent"') >= len(NAMED) + len(SHAPED) + 2
    assert_clean(content, CANARY, KEY.decode())


def test_t_93_no_error_or_repr_holds_what_was_to_be_written(tmp_path: Path) -> None:
    def fails(_fd: int, _data: bytes) -> int:
        raise OSError(5, "Input/output error")

    told = []
    for write in (fails, None):
        disk = Disk() if write is None else Disk(write=write)
        try:
            journal = open_journal(tmp_path / "journal", KEY, disk=disk)
            journal.close()
            intend(journal, "c", f'{{"text":"{CANARY}"}}'.encode())
        except JournalDown as down:
            told += [str(down), repr(down), *traceback.format_exception(down)]
    told += [repr(journal), repr(vars(journal)), repr(vars(journal._redactor))]
    assert len(told) > 6
    assert_clean("\n".join(told).encode(), CANARY, KEY.decode())


@pytest.mark.parametrize(
    "arguments", [b'{"pin":1234567}', b'{"p\\u0061ssword":"1234567"}', b'{"PASSWORD":["1234567"]}']
)
def test_t_93_no_spelling_of_a_secrets_name_escapes(tmp_path: Path, arguments: bytes) -> None:
    journal = open_journal(tmp_path, KEY)
    intend(journal, "c", arguments)
    journal.close()
    assert b"1234567" not in all_of_it(tmp_path)
