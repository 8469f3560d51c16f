"""Answers that clients have not read: the other half of the bytes in flight, counted for a whole process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio import Transport

UNREAD_LIMIT: Final = 256 * 1024 * 1024  # bytes


class Unread:
    """Holds the connections that wait for their clients. Beyond the limit the one that has waited longest is ended:
    who reads is never long among them.
    """

    def __init__(self, limit: int = UNREAD_LIMIT) -> None:
        self._limit = limit
        self._waiting: dict[Transport, int] = {}
        self.size = 0

    def add(self, transport: Transport) -> None:
        """Its client does not keep up."""
        self.drop(transport)
        size = transport.get_write_buffer_size()
        self._waiting[transport] = size
        self.size += size
        while self.size > self._limit and len(self._waiting) > 1:
            oldest = next(iter(self._waiting))
            self.drop(oldest)
            oldest.abort()

    def drop(self, transport: Transport) -> None:
        """It does again, or is gone."""
        self.size -= self._waiting.pop(transport, 0)
