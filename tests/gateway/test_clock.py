"""What a step of the clock is, and what is none."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

from gateway import clock


def put(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Moves the clock on the wall, as far as `gateway.clock` can see."""
    monkeypatch.setattr(clock, "_begun", clock._difference() - seconds)


@pytest.mark.parametrize("seconds", [-3600.0, -31.0, 31.0, 3600.0])
def test_a_step_in_either_direction_is_seen(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    put(monkeypatch, seconds)
    assert clock.moved()
    assert clock.step() == pytest.approx(seconds, abs=1.0)
    with pytest.raises(clock.ClockMoved):
        clock.check()


@pytest.mark.parametrize("seconds", [-29.0, 0.0, 29.0])
def test_what_tokens_have_leeway_for_is_no_step(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    put(monkeypatch, seconds)
    assert not clock.moved()
    clock.check()


def test_time_that_passes_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both go on: what counts is by how much they part."""
    now, steady = time.time(), time.clock_gettime(clock._STEADY)
    monkeypatch.setattr(clock.time, "time", lambda: now + 7200)
    monkeypatch.setattr(clock.time, "clock_gettime", lambda _which: steady + 7200)
    assert not clock.moved()


class Notes:
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def note(self, event: str, *, who: str, **facts: Any) -> None:
        self.seen.append((event, facts["seconds"]))


async def test_it_is_on_record_once_when_it_is_moved_and_once_when_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "LOOK", 0.01)
    notes = Notes()
    task = asyncio.create_task(clock.watch(notes))  # type: ignore[arg-type]
    begun = clock._begun
    put(monkeypatch, 3600.0)
    await until(notes, 1)
    await asyncio.sleep(0.05)
    monkeypatch.setattr(clock, "_begun", begun)
    await until(notes, 2)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert [event for event, _ in notes.seen] == ["clock.moved", "clock.right"]
    assert notes.seen[0][1] == pytest.approx(3600.0, abs=1.0)


async def until(notes: Notes, count: int) -> None:
    end = time.monotonic() + 60
    while len(notes.seen) < count:
        assert time.monotonic() < end, notes.seen
        await asyncio.sleep(0.01)
