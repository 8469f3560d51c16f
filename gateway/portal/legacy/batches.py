"""JSON-RPC batches, which the revision of 2025-03-26 alone has: its servers MUST take them ("Receiving batches").

A batch saves a round trip and nothing else: each message in it is judged, recorded and answered as if it had come
alone. A batch that is not in order is refused as a whole, before anything in it is done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from gateway.journal import JournalDown
from gateway.portal.reply import Reply
from gateway.portal.wire import INVALID_REQUEST, Message, parse, read_strictly, refused
from gateway.problems import INTERNAL_ERROR, Problem, journal_down

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.portal.exchange import Exchange
    from gateway.portal.reply import Lines, Pulse

VERSION: Final = "2025-03-26"
MOST: Final = 32  # messages in a batch
AT_ONCE: Final = 4  # of them under way: a batch is no way to have more done at a time than by asking one by one
HELD: Final = 1024 * 1024  # bytes of answers that wait for the others; beyond it each goes out as an event
HELD_MOST: Final = 16 * 1024 * 1024  # the same for a client that takes no events

_parts: Final = msgspec.json.Decoder(list[msgspec.Raw])
_encode: Final = msgspec.json.Encoder().encode
_TOO_LARGE: Final = _encode({"code": INTERNAL_ERROR, "message": "The answers are too large for one batch; ask alone."})


def is_batch(body: bytes) -> bool:
    """Whether the body is an array, for all that its first character says."""
    return body[:1] != b"{" and body.lstrip(b" \t\r\n")[:1] == b"["


def read(body: bytes) -> list[Message]:
    """The messages of a batch, each read as strictly as one that comes alone. Raises Problem for all of them."""
    read_strictly(body)  # depth and number of values count for the whole
    parts = _parts.decode(body)
    if not 0 < len(parts) <= MOST:
        raise refused(INVALID_REQUEST, f"A batch holds 1 to {MOST} messages.")
    messages = [parse(bytes(part)) for part in parts]
    idents = [message.id for message in messages if message.id and message.method]
    if len(set(idents)) != len(idents):
        raise refused(INVALID_REQUEST, "Two requests of the batch have the same id.")
    if any(message.method == "initialize" for message in messages):
        raise refused(INVALID_REQUEST, "initialize comes alone, never in a batch.")
    return messages


class Batch:
    """The answers of one batch: one array, or events as soon as something has to be said before the last is there."""

    def __init__(self, exchange: Exchange, handle: Callable[[Exchange], Awaitable[None]], pulse: Pulse) -> None:
        self._exchange = exchange
        self._reply = exchange.reply
        self._handle = handle
        self._pulse = pulse
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._answers: list[bytes] = []
        self._size = 0

    async def run(self, messages: list[Message]) -> None:
        """Everything in it, and the answer to the whole. Every message has a task, so that each can be cancelled."""
        async with asyncio.TaskGroup() as group:
            for message in messages:
                group.create_task(self._one(message))
        if self._reply.started:
            await self._flush()
            await self._reply.end()
        elif self._answers:
            await self._reply.json(200, b"[%s]" % b",".join(self._answers))
        else:
            await self._reply.text(202, "")

    async def _one(self, message: Message) -> None:
        part = Part(self, self._reply, message.id if message.method else b"")
        async with self._at_once:
            try:
                await self._handle(replace(self._exchange, message=message, reply=part))
            except Problem as problem:
                await part.refuse(problem)
            except JournalDown:
                await part.refuse(journal_down())
            finally:
                self._pulse.discard(part)

    async def take(self, answer: bytes, ident: bytes) -> None:
        """One answer, whole."""
        self._size += len(answer)
        if self._size > HELD_MOST and not self._reply.streams:
            answer = b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (ident, _TOO_LARGE)
        self._answers.append(answer)
        if self._reply.streams and (self._reply.started or self._size > HELD):
            await self._flush()

    async def _flush(self) -> None:
        while self._answers:
            await self._reply.event(self._answers.pop(0))


class Part(Reply):
    """The way back for one message of a batch: what it says goes out with what the others say."""

    __slots__ = ("_batch", "_ident", "_whole_reply")

    def __init__(self, batch: Batch, whole: Reply, ident: bytes) -> None:
        self._batch = batch
        self._whole_reply = whole
        self._ident = ident  # empty for what has no answer
        self.silent = 0
        self.streams = whole.streams
        self.started = False
        self.ended = False
        self.trail = None

    async def refuse(self, problem: Problem) -> None:
        """Its own error; the others are not touched. What is no request has none (JSON-RPC 2.0 section 6)."""
        if self._ident and not self.ended:
            code = problem.code or INTERNAL_ERROR
            error = problem.error if problem.code else _encode({"code": code, "message": problem.message})
            await self.finish(200, b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (self._ident, error))

    async def finish(self, status: int, message: bytes, headers: Lines = ()) -> None:  # noqa: ARG002
        self.ended = True
        await self._batch.take(message, self._ident)

    async def text(self, status: int, text: str, headers: Lines = ()) -> None:  # noqa: ARG002
        self.ended = True

    async def event(self, message: bytes, ident: bytes = b"") -> None:
        await self._whole_reply.event(message, ident)

    async def open(self, headers: Lines = ()) -> None:
        """Nothing of its own to open: the first event of any of them opens the whole."""

    async def end(self) -> None:
        self.ended = True

    async def murmur(self) -> None:
        if not self.ended:
            await self._whole_reply.murmur()
