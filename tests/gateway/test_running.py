"""A request that runs without a task for as long as it can, and is one from then on."""

from __future__ import annotations

import asyncio

from gateway.running import Run, Signal, as_task


def start(work) -> tuple[Run, list[Run]]:
    ended: list[Run] = []
    run = Run(work, ended.append)
    run.step()
    return run, ended


async def test_it_goes_on_at_once_when_its_signal_comes() -> None:
    signal, done = Signal(), []

    async def work() -> None:
        await signal
        done.append(asyncio.current_task())

    _, ended = start(work())
    current = asyncio.current_task()
    assert not ended
    signal.set()
    assert done == [current], "it ran here and now, in nobody else's task"
    assert len(ended) == 1


async def test_a_signal_that_has_come_holds_nobody_up() -> None:
    signal = Signal()
    signal.set()
    await signal
    _, ended = start(_wait(signal))
    assert len(ended) == 1


async def _wait(signal: Signal) -> None:
    await signal


async def test_a_fault_instead_of_the_signal_is_raised_where_it_is_waited_for() -> None:
    signal, seen = Signal(), []

    async def work() -> None:
        try:
            await signal
        except LookupError as error:
            seen.append(error)

    start(work())
    fault = LookupError()
    signal.set(fault)
    assert seen == [fault]


async def test_it_becomes_a_task_in_the_middle_of_what_it_does() -> None:
    signal, seen = Signal(), []

    async def work() -> None:
        await signal
        before = asyncio.current_task()
        await as_task()
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        after = asyncio.current_task()
        await later
        seen.append(after is not None and after is not before)

    later = Signal()
    _, ended = start(work())
    signal.set()
    await asyncio.sleep(0.05)
    assert not ended
    later.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert seen == [True]
    assert len(ended) == 1


async def test_cancelling_is_felt_where_it_waits_with_or_without_a_task() -> None:
    seen = []

    async def work(name: str, task: bool) -> None:
        if task:
            await as_task()
        try:
            await Signal()
        except asyncio.CancelledError:
            seen.append(name)
            raise

    plain, _ = start(work("plain", False))
    task, _ = start(work("task", True))
    await asyncio.sleep(0.01)
    plain.cancel()
    task.cancel()
    assert seen == [], "soon, and not in the middle of whatever cancels"
    await asyncio.sleep(0.01)
    assert sorted(seen) == ["plain", "task"]
    assert plain.uncancel() == 0


async def test_a_signal_that_comes_after_the_cancelling_wakes_nobody() -> None:
    signal = Signal()
    run, ended = start(_wait(signal))
    run.cancel()
    await asyncio.sleep(0)
    signal.set()
    assert len(ended) == 1


async def test_whoever_is_cancelled_before_its_first_step_as_a_task_hears_of_it() -> None:
    heard: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            heard.append("end")

    run = Run(work(), lambda _: None)
    run.step()  # it waits for something that only a task can, and is to become one in the loop's next round

    run.cancel()
    for _ in range(5):
        await asyncio.sleep(0)

    assert heard == ["end"]


async def test_whoever_waits_for_a_signal_hears_that_it_is_cancelled() -> None:
    heard: list[str] = []

    async def work() -> None:
        try:
            await Signal()
        finally:
            heard.append("end")

    ended: list[Run] = []
    run = Run(work(), ended.append)
    run.step()
    run.cancel()
    await asyncio.sleep(0)

    assert (heard, ended) == (["end"], [run])


async def test_what_breaks_when_a_signal_comes_is_no_fault_of_whoever_brings_it() -> None:
    signal, told = Signal(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: told.append(said["exception"]))

    async def work() -> None:
        await signal
        raise LookupError

    _, ended = start(work())
    signal.set()
    assert [type(one) for one in told] == [LookupError]
    assert len(ended) == 1


async def test_it_hears_of_its_end_also_when_it_becomes_a_task_before_it_could() -> None:
    """What it holds would never be given back."""
    signal, seen = Signal(), []

    async def work() -> None:
        await signal
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    run, ended = start(work())
    run.cancel()
    signal.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert seen == ["cancelled"]
    assert ended == [run]
