"""T-94: CR/LF, ANSI, a megabyte in a user agent, a request id, a tool's name: one JSON line each, escaped."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authz.principals import Principal, VerifiedClaims
from gateway.cli.audit.text import line_text, visible
from gateway.journal.records import LINE_LIMIT
from gateway.journal.verify import verify
from gateway.journal.writer import FileJournal, open_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = b"k" * 32
FORGED = '{"seq":99,"event":"call.outcome","outcome":"ok"}'
HOSTILE = [
    f"curl\r\n{FORGED}\n",
    "\x1b[2J\x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07",
    "\x9b31mC1 \x85next line",
    "nul\x00 del\x7f bell\x07 back\x08",
    "bidi \u202egnp.exe \u2066isolate\u2069 \u200b zero \ufeff mark \u2028 line \u2029 paragraph",
    'quote " backslash \\ slash / end"}',
    "lone \ud800 surrogate",
    "x" * (1 << 20),
    "\x1b[31m" * (1 << 18),
    "\u202e" * 200_000,
]
FIELDS = ["user_agent", "request_id", "object", "path"]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[FileJournal]:
    journal = open_journal(tmp_path, KEY)
    yield journal
    journal.close()


def file_of(journal: FileJournal) -> bytes:
    (path,) = journal.directory.glob("*.jsonl")
    return path.read_bytes()


def check(journal: FileJournal, records: int) -> dict[str, Any]:
    raw = file_of(journal)
    lines = raw.split(b"\n")
    assert lines[-1] == b""
    assert len(lines) - 2 == records
    assert all(len(line) < LINE_LIMIT + 200 for line in lines)
    text = raw.decode()
    assert not [c for c in text if c != "\n" and (ord(c) < 32 or not c.isprintable())]
    assert len(text.splitlines()) == records + 1
    found: dict[str, Any] = json.loads(lines[-2])
    return found


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_t_94_hostile_text_in_any_field_stays_in_its_line(journal: FileJournal, field: str, value: str) -> None:
    journal.note("call.refused", who="user:editor", **{field: value})
    found = check(journal, 1)
    assert found["event"] == "call.refused"
    if len(value) < 1000 and value.isascii():
        assert found[field] == value


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_t_94_hostile_names_and_arguments_of_a_call_stay_in_its_line(journal: FileJournal, value: str) -> None:
    who = Principal(
        claims=VerifiedClaims({}), issuer="", subject=value, label=value, subjects=frozenset(), client=value,
        scopes=frozenset(), resource="", expires_at=0,
    )  # fmt: skip
    arguments = json.dumps({value: value, "list": [value]}).encode()
    about = journal.about(
        who, method="tools/call", server=value, object=value, rule="r", epoch=1, portal=value, era="modern"
    )
    journal.intend(about, call=value, decision="d", request_id=value, arguments=arguments)
    journal.conclude(value, "error", reason=value)
    check(journal, 2)
    assert verify(journal.directory, KEY).problems == []


def test_t_94_hostile_keys_stay_in_their_line(journal: FileJournal) -> None:
    for value in HOSTILE:
        journal.note("probe", who="test", facts={value: {value: [value]}})
    check(journal, len(HOSTILE))


def test_t_94_facts_cannot_take_the_place_of_the_records_own_members(journal: FileJournal) -> None:
    journal.note("probe", who="test", seq=99, hash="0" * 64, at="never", call=[1], segment=5, open=[{}], mark=None)
    found = check(journal, 1)
    assert (found["seq"], found["seq_"], found["event"]) == (2, 99, "probe")
    assert verify(journal.directory, KEY).problems == []


@given(st.text(max_size=200))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_t_94_any_text_is_one_printable_line(journal: FileJournal, text: str) -> None:
    before = file_of(journal).count(b"\n")
    journal.note("probe", who="test", text=text)
    found = check(journal, before)
    assert found["text"] == text.encode("utf-8", "backslashreplace").decode()


@given(st.text(max_size=200))
def test_t_94_what_is_shown_moves_no_cursor(text: str) -> None:
    shown = line_text(json.dumps({"at": 1.0, "event": text, "who": text, text: text}))
    assert shown.isprintable()
    assert visible(text).isprintable()
