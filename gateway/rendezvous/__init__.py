"""Where things meet that may be in different processes: the answer to a question, the state of a session, a count.

One bounded round trip each, never on the path of a plain call, and failing closed: what cannot be found out raises
`RendezvousDown`. In memory for one process, through the database for several on one machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class RendezvousDown(Exception):
    """The meeting place cannot be reached."""


class Rendezvous(Protocol):
    """Keys, boxes and topics are short ASCII strings; lives (`ttl`, `timeout`, `window`) are in seconds."""

    async def put(self, key: str, value: bytes, ttl: float) -> None:
        """Leave `value`; replaces what was there."""

    async def get(self, key: str) -> bytes | None:
        """What lies there and is not too old."""

    async def take(self, key: str) -> bytes | None:
        """The same, and nobody else gets it."""

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        """Leave `value` unless something is there; whether it was left (first use of a nonce, a lease)."""

    async def send(self, box: str, body: bytes, ttl: float) -> None:
        """Post a letter; letters of a box are received once, in order."""

    async def receive(self, box: str, timeout: float) -> bytes | None:  # noqa: ASYNC109
        """The next letter, or None when none came in time."""

    async def publish(self, topic: str, body: bytes) -> None:
        """Tell all who listen now, in every process."""

    def listen(self, topic: str) -> AsyncIterator[bytes]:
        """What is published from now on."""

    async def count(self, key: str, window: float) -> int:
        """Count one more in the present window; gives the count with it."""

    async def close(self) -> None: ...
