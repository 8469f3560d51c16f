from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from gateway.journal import JournalDown
from gateway.journal.verify import verify
from gateway.settings import ArgumentRecord, Durability
from tests.fakes.deadlines import within
from tests.gateway.journal.conftest import KEY, events, intend, lines, principal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.journal.writer import FileJournal

    Open = Callable[..., FileJournal]


def test_a_call_is_an_intent_and_an_outcome_that_name_each_other(opened: Open, directory: Path) -> None:
    journal = opened()
    intend(journal, "c1", b'{"text":"hi"}')
    journal.conclude("c1", "ok", status=200)
    _, intent, outcome = lines(directory)
    assert intent["event"] == "call.intent"
    assert outcome["event"] == "call.outcome"
    assert intent["call"] == outcome["call"] == "c1"
    assert (intent["who"], intent["object"], intent["decision"]) == ("user:editor", "notes.add", "d-c1")
    assert intent["arguments"] == {"text": "hi"}
    assert outcome["outcome"] == "ok"


ARGUMENTS = [
    b'{"text":"hi"}',
    b'{ "text" : "hi",\t"n": 1.50 }',
    b'{"text":"two\\nlines"}',
    b'{"password":"hunter2"}',
    b'{"deep":{"a":[1]}}',
    '{"text":"gr\u00fc\u00df \u202e"}'.encode(),
    b'{"text":"%s"}' % (b"x" * 500),
    b'{"text":"\x7f"}',
    b"{}",
    b"",
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
@pytest.mark.parametrize("label", ["user:editor", 'user:"}\u2028\x1b[2J'])
def test_an_intent_says_the_same_however_it_is_written(
    opened: Open, directory: Path, monkeypatch: pytest.MonkeyPatch, arguments: bytes, label: str
) -> None:
    journal = opened()
    who = principal(label)
    intend(journal, "c1", arguments, who=who, decision="d1")
    monkeypatch.setattr("gateway.journal.redaction.is_readable", lambda *_: False)
    intend(journal, "c1", arguments, who=who, decision="d1")
    _, ready, made = lines(directory)
    assert {**ready, "seq": 0, "at": 0, "hash": ""} == {**made, "seq": 0, "at": 0, "hash": ""}
    assert all(line.isprintable() for line in next(directory.glob("*.jsonl")).read_text().split("\n"))


def test_a_record_is_in_the_file_when_the_call_returns(opened: Open, directory: Path) -> None:
    journal = opened()
    for number in range(50):
        journal.note("probe", who="test", number=number)
        assert lines(directory)[-1]["number"] == number


def test_who_acts_for_somebody_is_in_the_record(opened: Open, directory: Path) -> None:
    journal = opened()
    intend(journal, who=principal(actor=principal("agent:nightly")))
    assert lines(directory)[-1]["actors"] == [{"who": "agent:nightly", "subject": "usr_1", "client": "editor"}]


def test_what_was_written_by_many_threads_is_one_chain(opened: Open, directory: Path) -> None:
    journal = opened(limit=20_000)

    def write() -> None:
        for number in range(200):
            journal.note("probe", who="test", number=number)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert events(directory).count("probe") == 800
    assert len(list(directory.glob("*.jsonl"))) > 2
    assert verify(directory, KEY).problems == []


def test_a_full_segment_is_sealed_and_the_next_one_follows_it(opened: Open, directory: Path) -> None:
    journal = opened(limit=3000)
    intend(journal, "long")
    for number in range(40):
        journal.note("probe", who="test", number=number)
    journal.conclude("long", "ok")
    journal.close()
    report = verify(directory, KEY)
    assert report.segments > 1
    assert report.problems == []
    assert report.notes == []
    assert any("long" in line["open"] for line in lines(directory) if line["event"] == "journal.opened")


def test_a_closed_journal_is_sealed_read_only_and_takes_no_more(opened: Open, directory: Path) -> None:
    journal = opened()
    journal.close()
    (path,) = directory.glob("*.jsonl")
    assert events(directory)[-1] == "journal.sealed"
    assert path.stat().st_mode & 0o777 == 0o400
    assert not list(directory.glob("*.alive"))
    with pytest.raises(JournalDown):
        journal.note("probe", who="test")


def test_a_command_that_records_nothing_leaves_nothing(opened: Open, directory: Path) -> None:
    journal = opened(role="cli")
    assert journal.healthy
    journal.close()
    assert list(directory.iterdir()) == []


def test_a_forked_child_cannot_write_its_parents_chain(opened: Open) -> None:
    journal = opened()
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            journal.note("probe", who="child")
        except JournalDown:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    journal.note("probe", who="parent")


def test_a_directory_that_cannot_be_made_is_said_at_once(tmp_path: Path, opened: Open) -> None:
    (tmp_path / "journal").write_text("a file is in the way")
    with pytest.raises(JournalDown, match="journal"):
        opened()


async def test_strict_durability_waits_for_the_disk_and_shares_the_sync(opened: Open) -> None:
    import asyncio

    from gateway.journal.segments import Disk

    synced = 0

    def sync(fd: int) -> None:
        nonlocal synced
        os.fdatasync(fd)
        synced += 1

    journal = opened(durability=Durability.STRICT, disk=Disk(sync=sync))
    before = synced
    for number in range(50):
        journal.note("probe", who="test", number=number)
    await within(asyncio.gather(*(journal.durable() for _ in range(50))), 20)
    assert 1 <= synced - before <= 3
    done = synced
    await journal.durable()
    assert synced == done


async def test_group_durability_does_not_wait(opened: Open) -> None:
    from gateway.journal.segments import Disk

    stuck = threading.Event()

    def sync(fd: int) -> None:
        if threading.current_thread().name == "journal-sync":
            stuck.wait(10)

    journal = opened(disk=Disk(sync=sync))
    journal.note("probe", who="test")
    await journal.durable()
    stuck.set()


@pytest.mark.parametrize(
    ("keep", "members"),
    [
        (ArgumentRecord.NONE, set()),
        (ArgumentRecord.DIGEST, {"arguments_hmac", "arguments_size"}),
        (ArgumentRecord.REDACTED, {"arguments_hmac", "arguments_size", "arguments"}),
        (ArgumentRecord.FULL, {"arguments_hmac", "arguments_size", "arguments"}),
    ],
)
def test_the_setting_says_how_much_of_the_arguments_is_kept(
    opened: Open, directory: Path, keep: ArgumentRecord, members: set[str]
) -> None:
    journal = opened(arguments=keep)
    intend(journal, "c1", b'{"password":"hunter2"}')
    record = lines(directory)[-1]
    assert {member for member in record if member.startswith("arguments")} == members
    assert ("hunter2" in str(record)) == (keep is ArgumentRecord.FULL)


def test_a_disk_that_fills_is_a_warning(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from types import SimpleNamespace

    journal = opened()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=100, free=11))
    assert journal.warnings == ()
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(total=100, free=9))
    assert "9 % free" in journal.warnings[0]
    assert journal.healthy
