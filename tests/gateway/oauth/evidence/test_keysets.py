"""Other people's keys, fetched from where they are."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from authz.errors import AssertionRefused
from gateway.fetch import FetchFailed
from gateway.oauth.evidence import keysets
from gateway.oauth.evidence.keysets import AT_ONCE, FRESH, PAUSE, REMEMBERED, KeySets
from idp_adapters.contract import HttpAnswer, ProviderDown

URI = "https://keys.example/jwks"


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Published:
    """What the address answers just now, and how often it was asked."""

    def __init__(self, *kids: str) -> None:
        self.kids: tuple[str, ...] | None = kids
        self.asked = 0

    def get(self, url: str, *, limit: int, timeout: float) -> Any:
        self.asked += 1
        if self.kids is None:
            raise FetchFailed("no")
        return HttpAnswer(200, {}, json.dumps({"keys": [{"kid": kid} for kid in self.kids]}).encode())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(keysets, "time", clock)
    return clock


def test_a_set_is_fetched_once_while_it_is_fresh(clock: Clock) -> None:
    published = Published("a")
    sets = KeySets(published)  # type: ignore[arg-type]

    for _ in range(5):
        assert sets.keys(URI, "a") == [{"kid": "a"}]
        clock.now += FRESH / 5 - 1

    assert published.asked == 1


def test_a_key_that_is_new_is_found_once_the_pause_is_over(clock: Clock) -> None:
    published = Published("old")
    sets = KeySets(published)  # type: ignore[arg-type]
    sets.keys(URI, "old")
    published.kids = ("old", "new")

    clock.now += PAUSE + 1

    assert {"kid": "new"} in sets.keys(URI, "new")


def test_keys_that_never_were_have_the_set_fetched_but_twice_a_minute(clock: Clock) -> None:
    published = Published("a")
    sets = KeySets(published)  # type: ignore[arg-type]

    for number in range(600):
        sets.keys(URI, f"made-up-{number}")
        clock.now += 0.1

    assert published.asked <= 3


def test_a_key_that_was_withdrawn_is_believed_no_longer_than_the_set_is_fresh(clock: Clock) -> None:
    published = Published("gone")
    sets = KeySets(published)  # type: ignore[arg-type]
    sets.keys(URI, "gone")
    published.kids = ("other",)

    clock.now += FRESH + 1

    assert sets.keys(URI, "gone") == [{"kid": "other"}]


def test_a_set_that_cannot_be_had_is_refused_and_not_asked_for_again_at_once(clock: Clock) -> None:
    published = Published()
    published.kids = None
    sets = KeySets(published)  # type: ignore[arg-type]

    for _ in range(10):
        with pytest.raises(AssertionRefused):
            sets.keys(URI, "a")

    assert published.asked == 1


def test_many_addresses_do_not_fill_the_memory(clock: Clock) -> None:
    sets = KeySets(Published("a"))  # type: ignore[arg-type]

    for number in range(REMEMBERED * 2):
        sets.keys(f"{URI}/{number}", "a")

    assert len(sets._held) == REMEMBERED


class Slow(Published):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__("a")
        self.may_answer, self.reached = threading.Event(), threading.Event()

    def get(self, url: str, *, limit: int, timeout: float) -> Any:
        self.reached.set()
        assert self.may_answer.wait(60)
        return super().get(url, limit=limit, timeout=timeout)


def test_t_08_an_address_that_is_slow_is_asked_once_by_all_who_want_it() -> None:
    slow = Slow()
    sets = KeySets(slow)  # type: ignore[arg-type]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(sets.keys, URI, "a") for _ in range(AT_ONCE)]
        assert slow.reached.wait(60)
        slow.may_answer.set()

        assert [one.result() for one in waiting] == [[{"kid": "a"}]] * AT_ONCE
    assert slow.asked == 1


def test_t_08_slow_addresses_keep_few_threads_and_the_rest_are_told_to_come_again() -> None:
    slow = Slow()
    sets = KeySets(slow)  # type: ignore[arg-type]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(sets.keys, f"{URI}/{number}", "a") for number in range(AT_ONCE)]
        end = time.monotonic() + 60
        while sets._places._value:
            assert time.monotonic() < end
            time.sleep(0.01)

        with pytest.raises(ProviderDown):
            sets.keys(f"{URI}/one-more", "a")

        slow.may_answer.set()
        assert all(one.result() for one in waiting)
    assert sets.keys(f"{URI}/one-more", "a")
