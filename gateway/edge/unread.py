"""Answers that clients have not read: the other half of the bytes in flight, counted for a whole process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from asyncio import Transport

UNREAD_LIMIT: Final = 128 * 1024 * 1024  # bytes; with those in flight and the process itself below 512 MiB (P-10)


class Unread:
    """The connections that wait for their clients. Beyond the limit the one with most unread is ended, of equals the
    oldest: who is merely slow has little.
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
            fullest = max(self._waiting, key=self._waiting.__getitem__)
            self.drop(fullest)
            fullest.abort()

    def drop(self, transport: Transport) -> None:
        """It does again, or is gone."""
        self.size -= self._waiting.pop(transport, 0)
