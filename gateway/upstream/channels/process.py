"""A channel to a process of ours: one message on each line, its stderr for the log (MCP, transports, stdio)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from gateway.upstream import UpstreamBroken, UpstreamSlow, UpstreamUnreachable
from gateway.upstream.channels.chatter import Chatter
from gateway.upstream.troubles import Trouble

if TYPE_CHECKING:
    from gateway.egress.reply import Terms
    from gateway.upstream.channels import Hearer
    from registry.catalogue import Credential

KEEPER = str(Path(__file__).with_name("keeper.py"))
FAREWELL = 2.0  # seconds from the end of its stdin to SIGTERM
PATIENCE = 6.0  # seconds for the keeper to end it after that
WRITE_MOST = 1024 * 1024  # bytes that the process has not read yet, at which whoever sends more waits
STDIN, STDOUT, STDERR = 0, 1, 2


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the keeper has to know; nothing in it is secret, for it is on a command line."""

    gateway: int  # its process id
    command: list[str]
    sandbox: list[str]  # what stands before the command; nothing where there is no sandbox
    passwd: str
    directory: str
    memory: int
    processes: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """How to run one process: what the keeper is told, its environment, and what of that must not be logged."""

    server: str
    plan: Plan
    environment: dict[str, str]
    secrets: tuple[str, ...]
    line_most: int

    def __repr__(self) -> str:
        return f"Orders({self.server!r}, {self.plan!r})"


class Process(asyncio.SubprocessProtocol):
    """A `Wire`."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._transport: asyncio.SubprocessTransport | None = None
        self._hearer: Hearer | None = None
        self._line = bytearray()
        self._chatter = Chatter(orders.server, orders.secrets, asyncio.get_running_loop().time)
        self._writable = asyncio.Event()
        self._writable.set()
        self._exited = asyncio.Event()
        self._closing = False

    @property
    def pid(self) -> int:
        """Of its keeper."""
        return self._transport.get_pid() if self._transport is not None else 0

    async def open(self, hearer: Hearer) -> None:
        self._hearer = hearer
        keeper = (sys.executable, "-I", "-S", KEEPER, msgspec.json.encode(self._orders.plan).decode())
        loop = asyncio.get_running_loop()
        try:
            await loop.subprocess_exec(lambda: self, *keeper, env=self._orders.environment, start_new_session=True)
        except OSError as error:
            raise UpstreamUnreachable("its process cannot be started on this machine", Trouble.PROCESS) from error

    async def send(self, body: bytes, terms: Terms) -> None:
        """One line. Between the tokens of a caller's own bytes there may be line breaks, which mean nothing there."""
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(terms.silence):
                    await self._writable.wait()
            except TimeoutError as late:
                raise UpstreamSlow("the server's process reads nothing more; nothing was sent") from late
        if self._closing or self._exited.is_set() or self._transport is None:
            raise UpstreamBroken("the server's process has ended", Trouble.PROCESS)
        self._stdin().write(body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n")

    def use(self, credential: Credential | None) -> None:
        """It has its credential in its environment; another one is another process."""

    async def close(self) -> None:
        """Its stdin ends; then SIGTERM, then SIGKILL to all of its tree (MCP, lifecycle, shutdown)."""
        self._closing = True
        if self._transport is None:
            return
        self._stdin().close()
        if not await self._gone(FAREWELL):
            with contextlib.suppress(ProcessLookupError):
                self._transport.send_signal(signal.SIGTERM)
        if not await self._gone(PATIENCE):
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()
        self._transport.close()

    async def _gone(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._exited.wait()
        return self._exited.is_set()

    def _stdin(self) -> asyncio.WriteTransport:
        assert self._transport is not None  # looked at by whoever calls
        return cast("asyncio.WriteTransport", self._transport.get_pipe_transport(STDIN))

    # -- from the process -------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._stdin().set_write_buffer_limits(WRITE_MOST)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDERR:
            self._chatter.feed(data)
            return
        first, *others = data.split(b"\n")
        self._line += first
        for rest in others:
            self._hear(bytes(self._line))
            self._line = bytearray(rest)
        if len(self._line) > self._orders.line_most:
            self._line.clear()
            self._end("the server wrote a line that is too long", Trouble.TOO_LARGE)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:  # noqa: ARG002  # the signature
        self._writable.set()
        if fd != STDERR:
            self._end("the server's process has ended, or closed its pipes; the call may have been carried out")

    def process_exited(self) -> None:
        self._exited.set()
        self._writable.set()
        self._chatter.end()
        self._end("the server's process has ended; the call may have been carried out")

    def _hear(self, line: bytes) -> None:
        if self._hearer is not None:
            self._hearer.heard(line)

    def _end(self, why: str, trouble: Trouble = Trouble.PROCESS) -> None:
        if self._hearer is not None and not self._closing:
            self._hearer.ended(UpstreamBroken(why, trouble))
