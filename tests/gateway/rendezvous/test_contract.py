"""What every rendezvous keeps, wherever it meets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.rendezvous.memory import MemoryRendezvous
from tests.fakes.deadlines import within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.rendezvous import Rendezvous
    from tests.gateway.rendezvous.conftest import Pair


async def test_what_one_leaves_the_other_finds(pair: Pair) -> None:
    here, there = pair
    await here.put("session/1", b"\x00 state", 10)
    assert await there.get("session/1") == b"\x00 state"
    assert await there.get("session/1") == b"\x00 state"


async def test_what_was_replaced_is_gone(pair: Pair) -> None:
    here, there = pair
    await here.put("k", b"old", 10)
    await there.put("k", b"new", 10)
    assert await here.get("k") == b"new"


async def test_what_is_too_old_is_not_found(pair: Pair) -> None:
    here, there = pair
    await here.put("k", b"v", 0.02)
    await asyncio.sleep(0.05)
    assert await there.get("k") is None
    assert await there.take("k") is None


async def test_of_many_takers_one_gets_it(pair: Pair) -> None:
    here, there = pair
    await here.put("k", b"v", 10)
    found = await asyncio.gather(*(end.take("k") for end in (here, there) * 4))
    assert sorted(found, key=bool) == [None] * 7 + [b"v"]


async def test_of_many_adders_one_succeeds_until_it_is_too_old(pair: Pair) -> None:
    here, there = pair
    added = await asyncio.gather(*(end.add("nonce", b"", 60) for end in (here, there) * 4))
    assert sum(added) == 1
    assert await here.add("brief", b"", 0.02)
    await asyncio.sleep(0.05)
    assert await there.add("brief", b"", 10)


async def test_letters_arrive_once_and_in_order(pair: Pair) -> None:
    here, there = pair
    for number in range(5):
        await here.send("box", b"%d" % number, 10)
    assert [await there.receive("box", 20) for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert await there.receive("box", 0.1) is None


async def test_a_letter_reaches_who_already_waits(pair: Pair) -> None:
    here, there = pair
    waiting = asyncio.create_task(there.receive("box", 20))
    await asyncio.sleep(0.01)
    await here.send("box", b"late", 10)
    assert await waiting == b"late"


async def test_two_who_wait_for_one_box_get_one_letter_each(pair: Pair) -> None:
    here, there = pair
    waiting = [asyncio.create_task(end.receive("box", 20)) for end in (here, there)]
    await asyncio.sleep(0.01)
    await here.send("box", b"a", 10)
    await here.send("box", b"b", 10)
    assert sorted(await asyncio.gather(*waiting)) == [b"a", b"b"]


async def test_a_letter_does_not_reach_another_box(pair: Pair) -> None:
    here, there = pair
    await here.send("box/1", b"secret", 10)
    assert await there.receive("box/2", 0.1) is None


async def test_a_letter_that_is_too_old_is_not_received(pair: Pair) -> None:
    here, there = pair
    await here.send("box", b"stale", 0.02)
    await asyncio.sleep(0.05)
    assert await there.receive("box", 0.1) is None


async def test_who_gave_up_waiting_takes_no_letter_along(pair: Pair) -> None:
    here, there = pair
    assert await there.receive("box", 0.05) is None
    await here.send("box", b"v", 10)
    assert await there.receive("box", 20) == b"v"


async def test_all_who_listen_hear_what_is_published_from_then_on(pair: Pair) -> None:
    here, there = pair
    await here.publish("topic", b"before")
    ears = [here.listen("topic"), there.listen("topic"), there.listen("other")]
    await here.publish("topic", b"one")
    await there.publish("topic", b"two")
    await there.publish("other", b"three")
    assert await _heard(ears[0], 2) == [b"one", b"two"]
    assert await _heard(ears[1], 2) == [b"one", b"two"]
    assert await _heard(ears[2], 1) == [b"three"]


async def test_who_listens_later_hears_only_the_later(pair: Pair) -> None:
    here, there = pair
    first = there.listen("topic")
    await here.publish("topic", b"one")
    assert await _heard(first, 1) == [b"one"]
    second = there.listen("topic")
    await here.publish("topic", b"two")
    assert await _heard(second, 1) == [b"two"]
    assert await _heard(first, 1) == [b"two"]


async def test_a_count_is_one_count_for_all(pair: Pair) -> None:
    here, there = pair
    counts = await asyncio.gather(*(end.count("sign-in/1", 3600) for end in (here, there) * 5))
    assert sorted(counts) == list(range(1, 11))
    assert await here.count("sign-in/2", 3600) == 1


async def test_a_count_begins_anew_in_the_next_window(pair: Pair) -> None:
    here, _ = pair
    await here.count("k", 0.05)
    await asyncio.sleep(0.12)
    assert await here.count("k", 0.05) == 1


async def _heard(ear: AsyncIterator[bytes], number: int) -> list[bytes]:
    return [await within(anext(ear), 20) for _ in range(number)]


async def test_who_is_cancelled_as_a_letter_comes_is_cancelled_and_leaves_it_to_the_next(pair: Pair) -> None:
    here, _ = pair
    waiting = asyncio.create_task(here.receive("box", 20))
    await asyncio.sleep(0.01)
    come(here, "box", b"letter")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await here.receive("box", 20) == b"letter"


def come(here: Rendezvous, box: str, letter: bytes) -> None:
    """The letter is there, and whoever waits for it has not been woken yet."""
    waiters = here._boxes[box].waiting if isinstance(here, MemoryRendezvous) else here._waiting[f"box/{box}"]
    waiters[0].set_result(letter)
