"""How a request of a legacy client ends: with its answer in the words of its revision, or with nothing at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.portal.legacy import down, turns
from gateway.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.cancelling import UnderWay
    from gateway.portal.reply import Reply
    from gateway.running import Run
    from gateway.upstream import Answer


async def called(exchange: Exchange, first: Awaitable[Answer] | None = None) -> Answer:
    """The answer to a call, which may be under way: `first` is its first answer then."""
    try:
        return down.answer(exchange, await turns.call_until_answered(exchange, first))
    except Problem as problem:
        raise down.problem(exchange, problem) from problem


async def tell(
    exchange: Exchange, doing: Awaitable[Answer], under_way: UnderWay, run: asyncio.Task[None] | Run
) -> None:
    """The answer when it is there, and nothing if the client has cancelled what is `under_way` meanwhile.

    It runs on until its end when the client hangs up: in these revisions that cancels nothing.
    """
    ident, request = exchange.message.id, exchange.arrival.request
    assert exchange.session is not None
    assert request is not None
    try:
        answer = await doing
    except asyncio.CancelledError:
        if request.recalled or run.uncancel() > 0 or not under_way.has(exchange.session, ident):
            raise
        await _say_nothing(exchange.reply)
        return
    finally:
        under_way.stop(exchange.session, ident)
    kind, body = (b"result", answer.result) if answer.result else (b"error", answer.error)
    await exchange.reply.finish(200, b'{"jsonrpc":"2.0","id":%s,"%s":%s}' % (ident, kind, body))


async def _say_nothing(reply: Reply) -> None:
    """A cancelled request has no answer: the stream ends without one."""
    if reply.streams:
        await reply.open()
        await reply.end()
    else:
        await reply.text(202, "")
