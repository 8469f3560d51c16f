from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from sqlmodel import select

from gateway.journal.verify import verify
from registry.tables import Segment
from tests.gateway.journal.conftest import KEY, events, intend, lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.journal.writer import FileJournal
    from registry.database import Database

    Open = Callable[..., FileJournal]

WRITES = """
import sys, time
from pathlib import Path
from tests.gateway.journal.conftest import KEY, intend
from gateway.journal.writer import open_journal
journal = open_journal(Path(sys.argv[1]), KEY, limit=int(sys.argv[2]))
for number in range(20):
    intend(journal, f"c{number}")
    if number % 2:
        journal.conclude(f"c{number}", "ok")
print("ready", flush=True)
time.sleep(60)
"""


def left_by_the_dead(directory: Path, limit: int = 1 << 26) -> Path:
    """A process writes twenty calls, half of them without an outcome, and is killed."""
    command = [sys.executable, "-c", WRITES, str(directory), str(limit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    return max(directory.glob("*.jsonl"))


def outcomes(directory: Path) -> dict[str, Any]:
    return {line["call"]: line["outcome"] for line in lines(directory) if line["event"] == "call.outcome"}


def test_calls_of_the_dead_are_closed_as_unknown(opened: Open, directory: Path) -> None:
    path = left_by_the_dead(directory)
    assert "was killed" in str(verify(directory, KEY).notes[0])
    journal = opened()
    found = outcomes(directory)
    assert found == {f"c{number}": "ok" if number % 2 else "unknown" for number in range(20)}
    assert path.stat().st_mode & 0o777 == 0o400
    closing = [line for line in lines(directory) if line.get("outcome") == "unknown"]
    assert {line["by"] for line in closing} == {journal.writer}
    report = verify(directory, KEY)
    assert report.problems == []
    assert report.notes == []


def test_what_is_settled_is_not_settled_again(opened: Open, directory: Path) -> None:
    path = left_by_the_dead(directory)
    opened()
    settled = path.read_bytes()
    opened()
    assert path.read_bytes() == settled


def test_calls_that_began_in_an_earlier_segment_are_closed_too(opened: Open, directory: Path) -> None:
    left_by_the_dead(directory, limit=2000)
    assert len(list(directory.glob("*.jsonl"))) > 3
    opened()
    assert sorted(call for call, outcome in outcomes(directory).items() if outcome == "unknown") == sorted(
        f"c{number}" for number in range(0, 20, 2)
    )
    assert verify(directory, KEY).problems == []


def test_a_writer_that_lives_is_left_alone(opened: Open, directory: Path) -> None:
    journal = opened()
    intend(journal, "mine")
    opened()
    assert outcomes(directory) == {}
    journal.conclude("mine", "ok")
    assert outcomes(directory) == {"mine": "ok"}


def test_a_line_that_was_never_finished_is_cut_off_and_named(opened: Open, directory: Path) -> None:
    path = left_by_the_dead(directory)
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole.splitlines()[-1][:150])
    assert "never finished" in str(verify(directory, KEY).notes[0])
    opened()
    assert path.read_bytes().startswith(whole)
    torn = [line for line in lines(directory) if line["event"] == "journal.torn"]
    assert [line["bytes"] for line in torn] == [150]
    assert verify(directory, KEY).problems == []


def test_a_last_line_with_its_end_but_a_wrong_hash_is_not_accepted(opened: Open, directory: Path) -> None:
    path = left_by_the_dead(directory)
    whole = path.read_bytes()
    last = whole.splitlines()[-1].replace(b'"seq":31', b'"seq":32')
    with path.open("ab") as file:
        file.write(last + b"\n")
    opened()
    assert "journal.torn" in events(directory)
    assert path.read_bytes().startswith(whole)
    assert verify(directory, KEY).problems == []


def test_a_changed_segment_is_not_continued_but_its_calls_are_closed(opened: Open, directory: Path) -> None:
    path = left_by_the_dead(directory)
    changed = path.read_bytes().replace(b'"call":"c6","decision":"d-c6"', b'"call":"c6","decision":"d-cx"')
    path.write_bytes(changed)
    opened()
    assert path.read_bytes() == changed
    assert "journal.damaged" in events(directory)
    assert outcomes(directory)["c4"] == "unknown"
    assert not verify(directory, KEY).sound


def test_a_process_that_is_stopped_between_two_segments_leaves_no_call_open(opened: Open, directory: Path) -> None:
    left_by_the_dead(directory, limit=2000)
    newest = max(directory.glob("*.jsonl"))
    newest.unlink()
    opened()
    began = {line["call"] for line in lines(directory) if line["event"] == "call.intent"}
    assert began == set(outcomes(directory))


def test_the_table_learns_of_segments_whose_process_died_before_it_wrote_the_row(
    opened: Open, directory: Path, database: Database
) -> None:
    path = left_by_the_dead(directory)
    journal = opened(database=database)
    journal.close()
    with database.read() as session:
        rows = session.exec(select(Segment).order_by(Segment.position)).all()  # type: ignore[arg-type]
    assert {row.name for row in rows} == {path.name, f"{journal.writer}.000001.jsonl"}
    assert all(row.sealed_at for row in rows)
    assert verify(directory, KEY, rows).problems == []


def test_two_that_start_at_once_settle_the_dead_once(directory: Path) -> None:
    left_by_the_dead(directory)
    code = (
        "import sys;from pathlib import Path;from tests.gateway.journal.conftest import KEY;"
        "from gateway.journal.writer import open_journal;open_journal(Path(sys.argv[1]),KEY).close()"
    )
    starts = [subprocess.Popen([sys.executable, "-c", code, str(directory)]) for _ in range(3)]
    assert [start.wait(30) for start in starts] == [0, 0, 0]
    closed = [line["call"] for line in lines(directory) if line.get("outcome") == "unknown"]
    assert len(closed) == len(set(closed)) == 10
    assert verify(directory, KEY).problems == []
