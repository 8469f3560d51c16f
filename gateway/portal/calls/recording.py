"""Calls go on as soon as what they have to say is on record; what they say in one round of the loop is written at once.

Each write lets go of the interpreter and enters the kernel; under load a round of the loop has many calls, of which
one half wants to leave and the other half has been answered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.journal import JournalDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.journal import Journal

    Go = Callable[[JournalDown | None], object]

MOST: Final = 16  # records of one write: a server should not wait for its first call until the last has come


class Recording:
    """Of one process and its loop. Whoever has had a record held says how to go on."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[Go] = []

    def then(self, go: Go) -> None:
        """Calls `go` when all that is held is on record, at the latest when this round is over; with an error if not.

        It comes before whatever anybody puts off to the loop's next round from now on.
        """
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._release)
        self._waiting.append(go)
        if len(self._waiting) >= MOST:
            self._release()

    def _release(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        down = self._written()
        for go in waiting:
            try:
                go(down)
            except Exception as broke:  # noqa: BLE001 - the others have no part in it
                said = {"message": "what waited for its record broke", "exception": broke}
                asyncio.get_running_loop().call_exception_handler(said)

    def _written(self) -> JournalDown | None:
        try:
            self._journal.release()
        except Exception as error:  # noqa: BLE001 - for want of memory, for one: then it is not on record either
            return error if isinstance(error, JournalDown) else JournalDown("the journal could not be written")
        return None
