"""`ostiary audit`, on a real data directory."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from gateway.assembly import open_office
from gateway.cli import main
from gateway.cli.audit.text import line_text
from gateway.settings import Settings
from tests.gateway.journal.conftest import intend

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.journal.writer import FileJournal


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A gateway has run here: two calls, a refusal with a hostile name, and it has ended."""
    data = tmp_path / "data"
    office = open_office(Settings(data=data), create=True, role="gateway")
    journal: FileJournal = office.journal  # type: ignore[assignment]
    for call in ("c1", "c2"):
        intend(journal, call, b'{"text":"hello","password":"hunter2"}')
        journal.conclude(call, "ok")
    journal.note("call.refused", who="user:reader", object="notes.delete\x1b[2J\n", decision="d-no", reason="no_rule")
    office.close()
    return data


def run(data: Path, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["audit", *arguments, "--data", str(data)])
    assert result.exit_code == code, result.output
    return result


def printed(data: Path, *arguments: str) -> Any:
    return json.loads(run(data, *arguments, "--json").output)


def test_tail_prints_the_newest_records_as_lines_for_people(data: Path) -> None:
    lines = run(data, "tail", "-n", "2").output.splitlines()
    assert len(lines) == 2
    assert "call.outcome  ok" in lines[0]
    assert "call.refused  user:reader  notes.delete\\x1b[2J\\n  decision=d-no  reason=no_rule" in lines[1]
    assert "hunter2" not in run(data, "tail").output


def test_tail_leaves_away_where_segments_begin_and_end_unless_asked(data: Path) -> None:
    lines = run(data, "tail", "-n", "100").output
    assert "call.refused" in lines
    assert "journal." not in lines
    everything = run(data, "tail", "-n", "100", "--all").output
    assert ("journal.opened" in everything, "journal.sealed" in everything) == (True, True)
    assert len(run(data, "tail", "-n", "1").output.splitlines()) == 1


def test_tail_prints_json_lines_as_they_are(data: Path) -> None:
    lines = [json.loads(line) for line in run(data, "tail", "--json").output.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))


def test_show_tells_all_about_a_call_and_finds_it_by_its_decision(data: Path) -> None:
    by_call, by_decision = printed(data, "show", "c1"), printed(data, "show", "d-c1")
    assert [record["event"] for record in by_call] == ["call.intent", "call.outcome"]
    assert by_call == by_decision
    assert "notes.add" in run(data, "show", "c1").output
    assert re.search(r"^at +20\d\d-\d\d-\d\d \d\d:", run(data, "show", "c1").output, re.MULTILINE)
    assert "nothing on record about 'c9'" in run(data, "show", "c9", code=1).output


def test_search_finds_by_who_and_what(data: Path) -> None:
    assert len(printed(data, "search", "--event", "call.")) == 5
    assert [record["who"] for record in printed(data, "search", "--who", "user:reader")] == ["user:reader"]
    assert printed(data, "search", "--since", "1h", "--until", "1h") == []
    assert "nothing found" in run(data, "search", "--server", "clock").output
    assert "neither a date" in run(data, "search", "--since", "yesterday", code=2).output


def test_reading_leaves_no_segment_behind(data: Path) -> None:
    before = sorted((data / "journal").iterdir())
    for verb in ("tail", "search", "verify"):
        run(data, verb)
    assert sorted((data / "journal").iterdir()) == before


def test_verify_says_that_all_is_sound_or_where_it_is_not(data: Path) -> None:
    assert "sound" in run(data, "verify").output
    (path,) = (data / "journal").glob("*.jsonl")
    path.chmod(0o600)
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b'"who":"user:editor"', b'"who":"user:eve"')
    path.write_bytes(b"\n".join(lines))
    path.chmod(0o400)
    result = run(data, "verify", code=1)
    assert f"PROBLEM  {path.name} record 4" in result.output
    assert "NOT SOUND" in result.output


def test_prune_asks_removes_and_leaves_a_record(data: Path) -> None:
    (old,) = (data / "journal").glob("*.jsonl")
    office = open_office(Settings(data=data), role="gateway")
    office.journal.note("probe", who="test")
    office.close()
    assert "nothing removed" in run(data, "prune", "--before", "1d").output
    for words in ([], ["--json"]):
        asked = ["audit", "prune", "--before", "0s", "--data", str(data), *words]
        declined = CliRunner().invoke(main, asked, input="n\n")
        assert (declined.exit_code, declined.stdout) == (1, "")
        assert old.exists()
    assert "removed 1 segments" in run(data, "prune", "--before", "0s", "--yes").output
    assert not old.exists()
    assert printed(data, "search", "--event", "journal.pruned")[0]["segment"] == old.name
    assert printed(data, "search", "--who", "user:reader") == []
    assert "sound" in run(data, "verify").output


def test_moments_are_read_as_moments_whatever_number_stands_there() -> None:
    shown = line_text(
        json.dumps({"at": 1e300, "event": "e", "who": "w", "expires_at": 1797905963.05, "used_at": 1e300})
    )
    assert shown == "(no time)  e  w  expires_at=2026-12-22T02:19:23Z  used_at=1e+300"


@pytest.mark.parametrize("moment", ["yesterday", "99999999999w", "9" * 400 + "d", "0001-01-01T00:00+23:00"])
def test_a_moment_that_no_calendar_has_is_refused_with_an_example(data: Path, moment: str) -> None:
    assert "an age (30m, 12h, 90d)" in run(data, "search", "--since", moment, code=2).output


def test_an_age_is_counted_back_from_now_and_a_date_is_one_of_utc(data: Path) -> None:
    assert len(printed(data, "search", "--since", "1h", "--event", "call.intent")) == 2
    assert printed(data, "search", "--until", "1h", "--event", "call.intent") == []
    assert len(printed(data, "search", "--since", "2026-01-01", "--event", "call.intent")) == 2


@pytest.mark.parametrize("option", ["--who", "--text", "--data"])
def test_what_is_not_utf_8_is_refused_in_a_sentence(data: Path, option: str) -> None:
    assert "is not UTF-8" in run(data, "search", option, b"user:\xff".decode("utf-8", "surrogateescape"), code=2).output
