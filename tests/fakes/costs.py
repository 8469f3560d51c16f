"""What something costs in processor time, on a machine where other work goes on beside it."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TRIES = 5


def cost(work: Callable[[], object], tries: int = TRIES) -> float:
    """Seconds of the cheapest of a few tries: what is dear is dear each time, a busy machine only sometimes.

    Rubbish is not collected meanwhile: in a process of a thousand tests, that alone takes longer than what is measured.
    """
    return min(_once(work) for _ in range(tries))


def _once(work: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        work()
        return time.process_time() - began
    finally:
        gc.enable()
