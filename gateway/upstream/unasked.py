"""What a server says that nobody waits for. To read it takes the time of all who wait, at other servers too (T-72)."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.upstream import UpstreamBroken

FREE: Final = 10_000  # messages at once
PER_SECOND: Final = 1000.0
BYTES: Final = 64  # of a stream that count as much as one message


class Unasked:
    """Of one stream or channel, while it lasts. Used on one event loop."""

    __slots__ = ("_at", "_heard")

    def __init__(self) -> None:
        self._heard = 0.0
        self._at = asyncio.get_running_loop().time()

    def bear(self, messages: float = 1.0) -> None:
        """Raises UpstreamBroken when it is too much for too long."""
        now = asyncio.get_running_loop().time()
        self._heard = max(self._heard - (now - self._at) * PER_SECOND, 0.0) + messages
        self._at = now
        if self._heard > FREE:
            raise UpstreamBroken("the server says too much that nobody asked for")

    def bear_bytes(self, size: int) -> None:
        """The same of a stream, in which comments and empty lines are work as well."""
        self.bear(size / BYTES)
