"""What is counted and what is traced. Labels are words of ours and slugs of approved servers: never a caller's text.

Counting a call costs less than a microsecond: it is added up, and handed to the library when somebody reads. Tracing
costs nothing where no `OTEL_*` variable asks for it; OpenTelemetry is not even imported then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.operating.metrics import Counts, Exporter, shared_directory
from gateway.operating.tracing import Trace, Tracing, configured

if TYPE_CHECKING:
    from gateway.settings import Settings

SETTLE_EVERY: Final = 1.0  # seconds


class Telemetry:
    """One process's. Serves its own metrics when it is the only process; several are served by their parent."""

    def __init__(self, settings: Settings) -> None:
        self.counts = Counts()
        alone = settings.metrics_listen and shared_directory() is None and settings.workers == 1
        self._exporter = Exporter(settings.metrics_listen or "", self.counts.registry) if alone else None
        self._tracing = Tracing() if configured() else None
        self.traces = self._tracing is not None  # whether anybody may want a span
        self.refused = self.counts.refused
        self.decided = self.counts.decided
        self.concluded = self.counts.concluded
        self.listed = self.counts.listed
        self.waiting = self.counts.waiting
        self.stand = self.counts.stand

    @property
    def address(self) -> str | None:
        """Where this process serves its metrics, as `host:port`."""
        return self._exporter.address if self._exporter else None

    def trace(self, meta_traceparent: str | None, header: str | None) -> Trace | None:
        """A span for the request under way, or None when it is not sampled or nobody asked for traces.

        `_meta.traceparent` goes before the HTTP header: the header may belong to a hop in between (SEP-414).
        """
        if self._tracing is None:
            return None
        return self._tracing.begin(meta_traceparent or header)

    async def settle_forever(self) -> None:
        """For a worker: what it has counted is there for its parent to read a second later."""
        while True:
            await asyncio.sleep(SETTLE_EVERY)
            self.counts.settle()

    def close(self) -> None:
        self.counts.settle()
        if self._exporter is not None:
            self._exporter.close()
        if self._tracing is not None:
            self._tracing.close()
