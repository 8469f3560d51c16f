from __future__ import annotations

from typing import Any

from gateway.journal.flood import IN_FULL, MINUTE, OTHERS, SOURCES, Flood


class Notes:
    def __init__(self) -> None:
        self.now = 0.0
        self.all: list[tuple[str, dict[str, Any]]] = []
        self.flood = Flood(self.note, lambda: self.now)

    def note(self, event: str, **facts: Any) -> None:
        self.all.append((event, facts))

    def refuse(self, source: str, times: int) -> None:
        for _ in range(times):
            self.flood.refused(source, "no_token", {"path": "/mcp"})

    def counted(self) -> dict[str, int]:
        return {facts["source"]: facts["count"] for event, facts in self.all if event == "refused.counted"}


def test_the_first_refusals_of_a_source_are_written_and_the_rest_counted() -> None:
    notes = Notes()
    notes.refuse("192.0.2.1", 500)
    notes.refuse("192.0.2.2", 3)
    assert [event for event, _ in notes.all] == ["refused"] * (IN_FULL + 3)
    notes.now += MINUTE
    notes.flood.tell()
    assert notes.counted() == {"192.0.2.1": 500 - IN_FULL}


def test_every_refusal_is_either_written_or_counted() -> None:
    notes = Notes()
    for minute in range(3):
        notes.now = minute * MINUTE
        notes.refuse("192.0.2.1", 100)
    notes.flood.tell(now=True)
    written = sum(event == "refused" for event, _ in notes.all)
    counted = sum(facts["count"] for event, facts in notes.all if event == "refused.counted")
    assert written == 3 * IN_FULL
    assert written + counted == 300


def test_a_flood_from_many_sources_fills_neither_memory_nor_disk() -> None:
    notes = Notes()
    for number in range(3 * SOURCES):
        notes.refuse(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", 1)
    assert len(notes.flood._counts) == SOURCES + 1
    assert len(notes.all) == SOURCES + IN_FULL
    notes.flood.tell(now=True)
    assert notes.counted() == {OTHERS: 2 * SOURCES - IN_FULL}


def test_one_subscriber_with_many_ipv6_addresses_is_one_source() -> None:
    notes = Notes()
    for number in range(2 * IN_FULL):
        notes.refuse(f"2001:db8:1:2::{number:x}", 1)
    assert len(notes.all) == IN_FULL
