"""How many may wait for authorization servers at once, so that one that hangs leaves threads to everybody's pages."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from gateway.credentials import Unanswered

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL: Final = 16  # of the forty threads that pages have
OF_SERVER: Final = 8
OF_PERSON: Final = 3


class Crowd:
    """Safe to share between threads, which is what it is for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside: Counter[str] = Counter()

    @contextmanager
    def one(self, server: str, person: str = "") -> Iterator[None]:
        """One more, while the block runs. Raises Unanswered where there are too many."""
        most = {"": ALL, f"server/{server}": OF_SERVER} | ({f"person/{person}": OF_PERSON} if person else {})
        with self._lock:
            if any(self._inside[name] >= limit for name, limit in most.items()):
                raise Unanswered("others wait for this authorization server just now; try again in a moment")
            self._inside.update(most.keys())
        try:
            yield
        finally:
            with self._lock:
                self._inside.subtract(most.keys())
                self._inside = +self._inside
