"""The load: so many connections, each with one request under way, until so many calls are done.

A process of its own: reads one JSON object from standard input and prints one. What it sends is made beforehand, byte
for byte; an answer is looked at only so far as to know that it is one. The first calls warm the same connections that
are measured then: to begin 64 at once takes longer than any call on them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop

SESSION = b"{session}"
_SCHEDULED = 2  # CPUCLOCK_SCHED: what clock_getcpuclockid(3) makes of a process id


@dataclass
class Work:
    """What to send and where: `script` is sent in order on each turn; a turn counts as one call."""

    host: str
    port: int
    script: list[bytes]
    connections: int
    calls: int  # those of `warm` included
    warm: int = 0
    pids: list[int] = field(default_factory=list)  # the door's, whose processor time is taken
    churn: bool = False  # a new connection for each turn
    seconds: float = 60.0  # after which no further turn begins
    began: int = 0
    failed: int = 0
    refusal: str = ""
    latencies: list[float] = field(default_factory=list)
    start: float = 0.0
    cpu: float = 0.0  # of the door when it was warm

    def take(self) -> bool:
        """Whether there is another turn to do."""
        if self.began >= self.calls:
            return False
        if self.began == self.warm:
            self.latencies.clear()
            self.start, self.cpu = time.perf_counter(), processor_seconds(self.pids)
        self.began += 1
        return True


class Connection(asyncio.Protocol):
    """One connection that sends its script again and again."""

    def __init__(self, work: Work, done: asyncio.Future[None]) -> None:
        self.work = work
        self.done = done
        self.to_send: deque[bytes] = deque()
        self.turning = False
        self.session = b""
        self.body: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self._turn()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.turning:
            self._fail("the connection was closed before the answer")
        if not self.done.done():
            self.done.set_result(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"mcp-session-id":
            self.session = value

    def on_body(self, piece: bytes) -> None:
        self.body.append(piece)

    def on_message_complete(self) -> None:
        status, body = self.parser.get_status_code(), b"".join(self.body)
        self.body.clear()
        if status >= 300 or (status == 200 and (b'"result"' not in body or b'"isError":true' in body)):
            self._fail(f"{status} {body[:300].decode(errors='replace')}")
        if self.to_send:
            self._send()
        else:
            self._turned()

    def _turn(self) -> None:
        if not self.work.take():
            self.transport.close()
            return
        self.to_send.extend(self.work.script)
        self.turning = True
        self.began = time.perf_counter()
        self._send()

    def _send(self) -> None:
        request = self.to_send.popleft()
        self.transport.write(request.replace(SESSION, self.session) if SESSION in request else request)

    def _turned(self) -> None:
        self.turning = False
        self.work.latencies.append(time.perf_counter() - self.began)
        if self.work.churn or not self.parser.should_keep_alive():
            self.transport.close()
        else:
            self._turn()

    def _fail(self, refusal: str) -> None:
        self.work.failed += 1
        self.work.refusal = self.work.refusal or refusal


async def _keep_connected(work: Work) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + work.seconds
    while work.began < work.calls and loop.time() < end:
        done: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda done=done: Connection(work, done), work.host, work.port)  # type: ignore[misc]
        await done


async def _run(work: Work) -> float:
    """Seconds since it was warm."""
    await asyncio.gather(*(_keep_connected(work) for _ in range(work.connections)))
    return time.perf_counter() - work.start


def processor_seconds(pids: list[int]) -> float:
    """Of all their threads, ended ones too, in nanoseconds; /proc/PID/stat has ticks of 10 ms."""
    return sum(time.clock_gettime_ns(~pid << 3 | _SCHEDULED) for pid in pids) / 1e9


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def main() -> None:
    given = json.load(sys.stdin)
    work = Work(**given | {"script": [request.encode("latin-1") for request in given["script"]]})
    seconds = uvloop.run(_run(work))
    ordered = sorted(work.latencies)
    found = {
        "calls": len(ordered),
        "failed": work.failed,
        "refusal": work.refusal,
        "seconds": seconds,
        "cpu": work.cpu,
        "p50": percentile(ordered, 0.50),
        "p99": percentile(ordered, 0.99),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
