"""What is done beside the door for what came through it: the journal is copied for search, by a process of its own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.load import processor_seconds
from benchmarks.processes import tree
from gateway.journal.index import Indexer
from registry.database import Database, sqlite_url

if TYPE_CHECKING:
    from tests.fakes.gateway import Gateway

DEADLINE = 120.0
LOOK = 0.05


class Copier:
    """That process of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._database = Database(sqlite_url(gateway.data))
        self._indexer = Indexer(gateway.data / "journal", self._database)

    def seconds(self) -> float:
        """Of the processor, for all that was written until now; what it has to do is not left for the next round."""
        return processor_seconds(self.pids())

    def pids(self) -> list[int]:
        """Its own, once it has copied all that there is."""
        end = time.monotonic() + DEADLINE
        while self._indexer.waiting():
            if time.monotonic() > end:
                raise TimeoutError("the journal is not copied")
            time.sleep(LOOK)
        return tree(self._gateway.pid)[1:]

    def close(self) -> None:
        self._database.close()
