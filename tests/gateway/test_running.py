"""Running a request without a task, and what becomes of it when it is cancelled at any moment."""

from __future__ import annotations

import asyncio

from gateway.running import Run, Signal


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
