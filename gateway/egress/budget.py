"""One budget for all bytes that calls under way hold in this process."""

from __future__ import annotations

from gateway.upstream import UpstreamBusy
from gateway.upstream.troubles import Trouble


class Budget:
    """Counts bytes; only ever used on the event loop, so a plain integer does."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def admits(self, size: int) -> bool:
        """Whether a call may leave now."""
        return self.used + size <= self.limit

    def admit(self, size: int) -> None:
        """Refuses a call before it leaves while too much is held already."""
        if not self.admits(size):
            full = "too many bytes are in flight at this gateway; nothing was sent, try again shortly"
            raise UpstreamBusy(full, trouble=Trouble.FULL)

    def take(self, size: int) -> bool:
        """Count `size` more; whether that still fits."""
        self.used += size
        return self.used <= self.limit

    def give(self, size: int) -> None:
        self.used -= size
