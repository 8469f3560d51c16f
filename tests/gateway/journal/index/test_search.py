from __future__ import annotations

import json
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlmodel import SQLModel, col, select

from authz.ids import fresh_id
from gateway.journal.book import enter
from gateway.journal.index.blocks import block, entries
from gateway.journal.index.search import Search, about, bearing, find, newest, oldest, unsealed
from gateway.journal.records import chain, encode
from gateway.journal.segments import SegmentName
from registry.database import Database
from registry.tables import JournalBlock, JournalName
from tests.gateway.journal.conftest import booked, calls, intend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlmodel import Session

    from gateway.journal.index.blocks import Block, Entry
    from gateway.journal.writer import FileJournal

    Open = Callable[..., FileJournal]


def test_records_are_found_by_who_what_and_how(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 2)
    calls(journal, 2, server="clock", object="clock.now")
    journal.note("policy.changed", who="operator:root", text="100% of_it")
    booked(database, 1)

    def found(**wanted: object) -> int:
        return len(find(directory, database, Search(**wanted)))  # type: ignore[arg-type]

    assert found() == 10
    assert found(server="clock") == 2
    assert found(object="notes.add", who="user:editor") == 2
    assert found(outcome="ok") == 4
    assert found(event="call.") == 8
    assert found(event="call.intent") == 4
    assert found(text="100%") == 1
    assert found(text="1%o") == 0
    assert found(limit=3) == 3
    assert found(since=4e9) == 0
    assert found(until=1e9) == 0
    assert found(text="POLICY.CHANGED") == 1
    assert "policy.changed" in find(directory, database, Search(limit=1))[0]


def test_a_decision_leads_to_its_call(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    calls(journal, 2)
    journal.note("call.refused", who="user:reader", decision="d-refused")
    booked(database, 1)
    assert len(about(directory, database, "d-c1")) == 2
    assert len(about(directory, database, "c1")) == 2
    assert len(about(directory, database, "d-refused")) == 1
    assert len(about(directory, database, f"{journal.writer}/2")) == 2
    for nothing in ("nothing", f"{journal.writer}/{'9' * 30}", f"{journal.writer}/\u00b2", f"{journal.writer}/", "/"):
        assert about(directory, database, nothing) == []


def test_who_wants_the_newest_reads_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    database, read = filled([[[{"at": at, "event": "probe"}] for at in range(50)]]), list[str]()

    def counted(stored: JournalBlock) -> Iterator[Entry]:
        read.append(stored.id)
        return entries(stored)

    monkeypatch.setattr("gateway.journal.index.search.entries", counted)
    with database.read() as session:
        assert [one.facts.at for one in islice(newest(session, Search(event="probe")), 3)] == [49, 48, 47]
    database.close()
    assert len(read) == 3


def test_the_oldest_come_in_the_order_in_which_they_were_written_whatever_they_are() -> None:
    database = filled([[[{"at": at, "event": ("call.intent", "call.outcome")[at % 2]}] for at in range(6)]])
    with database.read() as session:
        found = oldest(session, 2, "call.intent", "call.outcome")
        assert [one.facts.at for one in found] == [2, 3, 4, 5]
    database.close()


def test_records_of_one_moment_are_in_the_order_in_which_they_were_written() -> None:
    database = filled([[[{"at": 5, "event": "probe"}] * 12]])
    with database.read() as session:
        assert [one.seq for one in newest(session, Search())] == list(range(12, 0, -1))
    database.close()


def test_a_character_that_no_database_takes_is_found_by_its_record(
    opened: Open, directory: Path, database: Database
) -> None:
    opened(database=database).note("probe", who="some\0body")
    booked(database, 1)
    (line,) = find(directory, database, Search(event="probe", who="some\ufffdbody"))
    assert json.loads(line)["who"] == "some\0body"


def test_a_refusal_is_one_of_the_server_whose_tool_it_names(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    journal.note("call.refused", who="user:reader", object="notes.delete")
    journal.note("call.refused", who="user:reader", object="notesandmore.delete")
    booked(database, 1)
    assert len(find(directory, database, Search(server="notes"))) == 1


def test_what_a_call_comes_to_hours_later_is_found_with_it(opened: Open, directory: Path, database: Database) -> None:
    journal = opened(database=database)
    hours_ago = f"{int((time.time() - 7200) * 1000):012x}{fresh_id()[12:]}"
    intend(journal, hours_ago)
    calls(journal, 300)
    journal.conclude(hours_ago, "ok")
    booked(database, 1)
    assert [json.loads(line)["event"] for line in about(directory, database, hours_ago)] == [
        "call.intent",
        "call.outcome",
    ]


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        (f"{10_000:012x}7abc8{'0' * 15}", False),
        (f"{8_900:012x}7abc8{'0' * 15}", True),
        (f"{11_100:012x}7abc8{'0' * 15}", True),
        (f"{10_000:012x}4abc8{'0' * 15}", True),
        (f"{10_000:012x}7ABC8{'0' * 15}", True),
        (f"{10_000:012x}7abc8{'0' * 15}" * 2, True),
        (f"{10_000:012x}", True),
    ],
    ids=["of its second", "older", "younger", "of another version", "not as we write it", "two in one", "cut short"],
)
def test_an_id_that_does_not_lead_to_its_record_by_time_is_a_name(identity: str, named: bool) -> None:
    facts: dict[str, object] = {"at": 10, "event": "call.intent", "call": identity}
    assert (("id", identity) in block(SegmentName("w", 1), 1, [line(1, facts)]).names) is named


def test_no_name_is_longer_than_an_index_of_postgresql_takes() -> None:
    facts: dict[str, object] = dict.fromkeys(
        ("event", "who", "server", "object", "outcome", "call"), "\U0001f512" * 1000
    )
    names = block(SegmentName("w", 1), 1, [line(1, {"at": 10} | facts)]).names
    assert len(names) == 6
    assert max(len(value.encode()) for _, value in names) < 2704 - 200


def test_who_asks_for_a_thing_by_the_name_of_a_server_leads_nobody_astray() -> None:
    """Anybody may ask for a tool of any name, again and again; of that server's records it is none."""
    facts: dict[str, object] = {"at": 5, "event": "call.refused", "object": "notes"}
    assert ("server", "notes") not in block(SegmentName("w", 1), 1, [line(1, facts)]).names
    assert ("server", "notes") in block(SegmentName("w", 1), 1, [line(1, facts | {"object": "notes.add"})]).names


def test_an_event_longer_than_a_name_is_found_by_how_it_begins(
    opened: Open, directory: Path, database: Database
) -> None:
    opened(database=database).note("e" * 300 + ".happened", who="somebody")
    booked(database, 1)
    assert len(find(directory, database, Search(event="e" * 300 + "."))) == 1
    assert find(directory, database, Search(event="e" * 301 + ".")) == []


@pytest.mark.parametrize(
    "odd",
    [b'"who":"\xff"', b'"who":5,"more":"\\ud800"', b'"more":' + b"[" * 5000 + b"]" * 5000, b'"who":"a\\u0000b"'],
    ids=["not UTF-8", "half a character", "deep", "NUL"],
)
def test_a_record_that_cannot_be_read_hides_no_other(odd: bytes) -> None:
    usual = b'{"at":5,"event":"probe","who":"user:a"}\n'
    made = block(SegmentName("w", 1), 1, [usual, b'{"at":5,%b}\n' % odd, usual])
    assert [entry.facts.who for entry in entries(row_of(made))][::2] == ["user:a", "user:a"]
    assert ("who", "user:a") in made.names


SOMEBODY = st.sampled_from(["", "user:a", "user:b", "user:" + "ü" * 300, "user:" + "ü" * 300 + "x"])
OBJECT = st.sampled_from(["", "notes.add", "notes.%", "clock.now", "no"])
EVENT = st.sampled_from(["call.intent", "call.outcome", "call.refused", "server.added"])
MOMENT = st.one_of(st.integers(0, 20).map(float), st.floats(-10, 5e9))
IDENTITY = st.one_of(st.just(""), st.sampled_from(["c1", "0" * 32, "%"]), st.integers(-5000, 25_000))
RECORD = st.fixed_dictionaries(
    {"at": MOMENT, "event": EVENT, "who": SOMEBODY, "object": OBJECT, "server": st.sampled_from(["", "notes", "clock"]),
     "call": IDENTITY, "decision": IDENTITY, "outcome": st.sampled_from(["", "ok", "broken"])}
)  # fmt: skip
WANTED = st.builds(
    Search,
    since=st.none() | MOMENT,
    until=st.none() | MOMENT,
    who=SOMEBODY,
    server=st.sampled_from(["", "notes", "clock", "no"]),
    object=OBJECT,
    event=st.sampled_from(["", "call.", "call.intent", "server.", "."]),
    outcome=st.sampled_from(["", "ok", "broken"]),
    text=st.sampled_from(["", "NOTES.", "%", "ü"]),
)


TABLES = [SQLModel.metadata.tables[name] for name in ("segment", "journal_block", "journal_name")]


def filled(writers: list[list[list[dict[str, object]]]]) -> Database:
    """Blocks of several writers; the moments of their records are in any order. An id that is a number is one of ours,
    drawn so many milliseconds after the beginning."""
    database = Database("sqlite://")
    SQLModel.metadata.create_all(database.engine, tables=TABLES)
    with database.change() as session:
        for number, blocks in enumerate(writers):
            seq = 1
            enter(session, SegmentName(f"w-{number}", 1), seq, 0.0)
            for facts in filter(None, blocks):
                made = block(SegmentName(f"w-{number}", 1), seq, [line(seq + at, one) for at, one in enumerate(facts)])
                seq += len(facts)
                session.add(row_of(made))
                session.add_all(JournalName(kind=k, value=v, until=made.until, block=made.id) for k, v in made.names)
    return database


def row_of(made: Block) -> JournalBlock:
    columns = made._asdict()
    del columns["names"]
    return JournalBlock(**columns)


def line(seq: int, facts: dict[str, object]) -> bytes:
    known = {key: ours(value) if key in {"call", "decision"} else value for key, value in facts.items()}
    return chain(b"", seq, encode(known))[0]


def ours(identity: object) -> object:
    return f"{max(identity, 0):012x}7abc8{'0' * 15}" if isinstance(identity, int) else identity


def everything(session: Session) -> list[Entry]:
    blocks = session.exec(select(JournalBlock).order_by(JournalBlock.segment, col(JournalBlock.first_seq)))
    return [entry for row in blocks for entry in entries(row)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.lists(RECORD, max_size=4), max_size=4), max_size=3), WANTED, st.integers(1, 30))
def test_a_search_finds_what_a_look_at_every_record_would(
    writers: list[list[list[dict[str, object]]]], wanted: Search, limit: int
) -> None:
    database = filled(writers)
    with database.read() as session:
        matching = [entry for entry in everything(session) if wanted.matches(entry)]
        found = list(newest(session, wanted))
        assert sorted(one.id for one in found) == sorted(one.id for one in matching)
        assert [one.facts.at for one in found] == sorted((one.facts.at for one in matching), reverse=True)
        assert list(islice(newest(session, wanted), limit)) == found[:limit]
        late = [one for one in everything(session) if one.facts.at >= 5 and one.facts.event == "call.intent"]
        assert sorted(one.id for one in oldest(session, 5, "call.intent")) == sorted(one.id for one in late)
        every = [one for one in everything(session) if one.facts.event == "call.intent"]
        assert [one.id for one in unsealed(session, "call.intent")] == [one.id for one in every]
    database.close()


@pytest.mark.parametrize(
    "looking",
    [
        lambda session: bearing(session, {str(ours(number)) for number in range(30)} | {"c1", "w-0/1"}),
        lambda session: oldest(session, 5, "call.intent", "call.outcome"),
        lambda session: unsealed(session, "call.intent"),
        lambda session: newest(session, Search(who="user:a", server="notes", event="call.", since=5)),
    ],
    ids=["ids", "events", "events of those who write", "names"],
)
def test_who_looks_for_a_few_records_does_not_go_through_all_blocks(
    looking: Callable[[Session], Iterator[Entry]],
) -> None:
    database, plans = filled([[[{"at": 6, "event": "call.intent", "who": "user:a", "server": "notes"}]]]), list[str]()

    def explain(connection: Any, _cursor: object, statement: str, given: object, *_: object) -> None:
        explained = connection.connection.dbapi_connection.execute(f"EXPLAIN QUERY PLAN {statement}", given)
        plans.extend(row[3] for row in explained)

    event.listen(database.engine, "before_cursor_execute", explain)
    with database.read() as session:
        assert isinstance(list(looking(session)), list)
    database.close()
    assert any("journal_name" in plan for plan in plans)
    assert not [plan for plan in plans if "SCAN journal" in plan]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.lists(RECORD, max_size=4), max_size=4), max_size=3), st.lists(IDENTITY, max_size=3))
def test_an_id_leads_to_every_record_that_bears_it_whenever_it_was_drawn(
    writers: list[list[list[dict[str, object]]]], identities: list[object]
) -> None:
    database = filled(writers)
    sought = {str(ours(one)) for one in identities} - {""}
    with database.read() as session:
        every = everything(session)
        sought |= {one.facts.call for one in every[:2]} - {""} | {one.id for one in every[-2:]}
        bears = [one for one in every if sought & {one.id, one.facts.call, one.facts.decision}]
        assert sorted(one.id for one in bearing(session, sought)) == sorted(one.id for one in bears)
    database.close()
