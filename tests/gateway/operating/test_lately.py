from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.operating import lately
from gateway.operating.lately import Lately
from tests.gateway.journal.index.test_search import filled

if TYPE_CHECKING:
    import pytest

A_MINUTE = 60.0


def intent(at: float, call: str, server: str = "notes") -> dict[str, object]:
    return {"at": at, "event": "call.intent", "call": call, "server": server}


def outcome(at: float, call: str, came_to: str, **facts: object) -> dict[str, object]:
    return {"at": at, "event": "call.outcome", "call": call, "outcome": came_to, **facts}


def test_calls_that_left_since_then_are_counted_by_what_they_came_to() -> None:
    before = [intent(59, "early"), intent(61, "a")]
    later = [outcome(62, "early", "ok"), outcome(62, "a", "ok"), intent(63, "b", "clock"), intent(64, "under way")]
    last = [outcome(70, "b", "timeout", trouble="slow")]
    database = filled([[before, later, last]])
    with database.read() as session:
        found = Lately.since(session, A_MINUTE)
    database.close()
    assert found.outcomes() == {"notes": {"ok": 1}, "clock": {"timeout": 1}}
    assert found.failures() == {"clock": {"slow": 1}}


def test_why_calls_had_no_answer_is_said_of_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lately, "MOST", 2)
    calls = [(intent(61 + at, f"c{at}"), outcome(61 + at, f"c{at}", "broken", trouble=f"t{at}")) for at in range(4)]
    database = filled([[[record for call in calls for record in call]]])
    with database.read() as session:
        found = Lately.since(session, A_MINUTE)
    database.close()
    assert found.outcomes() == {"notes": {"broken": 4}}
    assert found.failures() == {"notes": {"t2": 1, "t3": 1}}


def test_where_there_are_too_many_only_the_newest_are_counted_and_since_when_is_said() -> None:
    hour = time.time() - 1000
    calls = [[intent(hour + at, f"c{at}"), outcome(hour + at, f"c{at}", "ok")] for at in range(6)]
    database = filled([calls])
    with database.read() as session:
        some, all_of_them = Lately.of_the_last_hour(session, most=2), Lately.of_the_last_hour(session)
    database.close()
    assert (some.moment, some.outcomes()) == (hour + 3, {"notes": {"ok": 3}})
    assert all_of_them.moment < hour
    assert all_of_them.outcomes() == {"notes": {"ok": 6}}
