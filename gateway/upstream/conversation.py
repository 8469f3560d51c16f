"""Reading one answer from a server: whole, or as an event stream that says things before it answers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import UNSET

from gateway.egress.frames import Frames, FrameTooLarge, StreamOfNothing
from gateway.running import as_task
from gateway.upstream import UpstreamBroken, UpstreamSlow
from gateway.upstream.messages import Message, is_answer_to, joined, members, parse, read, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.egress.reply import Reply
    from gateway.upstream import Ask, Downstream

EVENTS_MOST = 10_000  # in one answer; ten a second for as long as a call may last is below it (T-72)
JSON = b"application/json"
LINK_DONE = "notifications/elicitation/complete"  # of 2025-11-25: what a link led to is done
_LEVELS = {
    name: rank
    for rank, name in enumerate(("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"))
}


class StreamEnded(UpstreamBroken):
    """The stream ended in good order, but without the answer; a legacy server may go on where it stopped."""

    def __init__(self, last_id: bytes, retry: float | None) -> None:
        super().__init__("the server ended its stream without an answer")
        self.last_id = last_id
        self.retry = retry


class Listener(Protocol):
    """Hears what comes before the answer."""

    async def heard(self, message: Message) -> None: ...


async def answer_of(reply: Reply, number: int, listener: Listener) -> Message:
    """The message that answers our request `number`."""
    return await streamed(reply, number, listener) if reply.stream else whole(reply, number)


async def streamed(reply: Reply, number: int, listener: Listener) -> Message:
    """The same, when it is the last of an event stream."""
    message = await _from_stream(reply, number, listener)
    reply.drain()
    return message


def whole(reply: Reply, number: int) -> Message:
    """The same, when it is all there is."""
    if reply.content_type != JSON:
        raise (
            refusal(reply) if reply.status != 200 else UpstreamBroken("the server's answer is neither JSON nor events")
        )
    try:
        message = parse(reply.body())
    except UpstreamBroken:
        if reply.status == 200:
            raise
        raise refusal(reply) from None  # its status says more than no message does
    if not is_answer_to(message, number):
        raise UpstreamBroken("the server answered something that was not asked")
    return message


async def _from_stream(reply: Reply, number: int, listener: Listener) -> Message:
    frames = Frames(reply.terms.size)
    events = 0
    while piece := await reply.more():
        try:
            found = frames.feed(piece)
        except StreamOfNothing as error:
            raise UpstreamBroken("the server says nothing, and does not stop") from error
        except FrameTooLarge as error:
            raise UpstreamBroken("the server's answer is too large") from error
        events += len(found)
        if events > EVENTS_MOST:
            raise UpstreamBroken("the server said too much before its answer")
        for frame in found:
            if not frame.data:
                continue  # a priming event (SEP-1699)
            message = parse(frame.data)
            if is_answer_to(message, number):
                return message
            await listener.heard(message)
    raise StreamEnded(frames.last_id, frames.retry)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """What takes longer is given up, and says so."""
    await as_task()
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        raise UpstreamSlow("the server did not answer in time; the call may have been carried out") from late


async def pass_on(message: Message, ask: Ask, number: int, down: Downstream) -> None:
    """Give the caller what belongs to this ask and was wanted; the rest has no business on its stream."""
    params = b"{}" if message.params is UNSET else bytes(message.params)
    if message.method == "notifications/progress" and ask.progress:
        parts = members(params)
        token = parts.pop("progressToken", None)
        if token is not None and bytes(token) == b"%d" % number:
            await down.notify("notifications/progress", joined(parts))
    elif message.method == LINK_DONE and ask.legacy_session:  # 2026-07-28 has it no more
        await down.notify(LINK_DONE, params)
    elif message.method == "notifications/message" and ask.log_level and _is_loud(params, ask.log_level):
        await down.notify("notifications/message", params)


class _Log(msgspec.Struct):
    level: str


def _is_loud(params: bytes, wanted: str) -> bool:
    return _LEVELS.get(read(params, _Log).level, -1) >= _LEVELS.get(wanted, 0)
