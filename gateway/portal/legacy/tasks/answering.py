"""`tasks/get`, `tasks/result`, `tasks/cancel` and `tasks/list` of 2025-11-25."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.journal import JournalDown
from gateway.portal import handles
from gateway.portal.legacy import down
from gateway.portal.legacy.tasks import announcing, beginning, book, words
from gateway.portal.legacy.tasks.awaiting import awaited
from gateway.portal.legacy.tasks.looking import Failed, Task, ask, look, mark_cancelled, named, note_kept
from gateway.portal.wire import INVALID_PARAMS, join
from gateway.problems import METHOD_NOT_FOUND, Problem
from gateway.running import as_task
from gateway.upstream import Answer
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gateway.portal.exchange import Exchange
    from gateway.portal.wire import RawMembers

PAGE: Final = 10  # tasks; each is looked at
LOOKS: Final = 5  # at a task that was cancelled, until it has stopped
PAUSE: Final = 0.2  # seconds between them


async def answer(exchange: Exchange) -> Answer:
    """What the client hears. Raises Problem."""
    assert exchange.session is not None
    if not announcing.has_tasks(exchange, exchange.session.version):
        raise Problem(200, METHOD_NOT_FOUND, "Method not found")
    await as_task()
    try:
        return await METHODS[exchange.message.method](exchange)
    except Failed as failed:
        return down.answer(exchange, Answer(error=failed.error))


async def _get(exchange: Exchange) -> Answer:
    return Answer(result=await _state(exchange, named(exchange, exchange.message.value("taskId"))))


async def _state(exchange: Exchange, task: Task) -> bytes:
    if task.kept:
        return beginning.state(task.ident, await _kept(exchange, task), task.ttl)
    return words.task(await look(exchange, task), task.ttl)


async def _result(exchange: Exchange) -> Answer:
    task = named(exchange, exchange.message.value("taskId"))
    if not task.kept:
        return await awaited(exchange, task)
    return Answer(result=words.related((await _kept(exchange, task)).result, task.ident))


async def _cancel(exchange: Exchange) -> Answer:
    """Cooperative in the extension, final in this revision ("Task Cancellation", 2 and 3)."""
    task = named(exchange, exchange.message.value("taskId"))
    if task.kept:
        await _kept(exchange, task)
        raise _ended()
    if words.state_of(await look(exchange, task)).ended:
        raise _ended()
    await ask(exchange, "tasks/cancel", task.ident)
    members = await _stopped(exchange, task)
    status = words.state_of(members).status
    if status in {"completed", "failed"}:
        raise _ended()
    if status != "cancelled":
        await mark_cancelled(exchange, task)
        members |= {"status": msgspec.Raw(b'"cancelled"')}
    return Answer(result=words.task(members, task.ttl))


async def _stopped(exchange: Exchange, task: Task) -> RawMembers:
    for _ in range(LOOKS - 1):
        members = await look(exchange, task)
        if words.state_of(members).ended:
            return members
        await asyncio.sleep(PAUSE)
    return await look(exchange, task)


async def _list(exchange: Exchange) -> Answer:
    """The client's own, newest first; what it may not look at any more is not among them."""
    exchange.world.journal.note(
        "list",
        **exchange.asker,
        method=exchange.message.method,
        portal=exchange.mount.portal,
        epoch=exchange.snapshot.epoch,
        request_id=exchange.arrival.request_id,
    )
    before = _position(exchange)
    left = [line for line in reversed(await book.lines(exchange)) if before is None or line.number < before]
    found = [await _listed(exchange, line.ident) for line in left[:PAGE]]  # a server may take few calls at once
    page: dict[str, bytes] = {"tasks": b"[%s]" % b",".join(one for one in found if one)}
    if len(left) > PAGE:
        page["nextCursor"] = b'"%s"' % _cursor(exchange, left[PAGE - 1].number)
    return Answer(result=join(page))


async def _listed(exchange: Exchange, ident: str) -> bytes:
    try:
        return await _state(exchange, named(exchange, ident))
    except (Problem, Failed, JournalDown):
        return b""


async def _kept(exchange: Exchange, task: Task) -> book.Kept:
    note_kept(exchange, task)
    found = await book.kept(exchange, task.kept)
    if found is None:
        raise Problem(200, INVALID_PARAMS, f"Unknown task: {task.ident[:128]}")
    return found


def _ended() -> Problem:
    return Problem(200, INVALID_PARAMS, "The task has ended already.")


def _context(exchange: Exchange) -> bytes:
    return b"tasks-cursor\x00" + handles.owner(exchange).encode()


def _cursor(exchange: Exchange, number: int) -> bytes:
    sealed = exchange.world.office.vault.wrap(_context(exchange), b"%d" % number)
    return base64.urlsafe_b64encode(sealed)


def _position(exchange: Exchange) -> int | None:
    if "cursor" not in exchange.message.params:
        return None
    try:
        sealed = base64.b64decode(str(exchange.message.value("cursor")).encode(), altchars=b"-_", validate=True)
        return int(exchange.world.office.vault.unwrap(_context(exchange), sealed))
    except (ValueError, SecretRefused) as error:
        raise Problem(200, INVALID_PARAMS, "params.cursor is not valid; list from the start.") from error


METHODS: Final[dict[str, Callable[[Exchange], Awaitable[Answer]]]] = {
    "tasks/get": _get,
    "tasks/result": _result,
    "tasks/cancel": _cancel,
    "tasks/list": _list,
}
