"""A server of 2026-07-28 that runs a tool as a task alone, for a client of an earlier revision: driven to its end here.

It is asked without the extension first: what can be answered at once is simpler for everybody. Only when it insists
(-32021, so nothing was done) it is told that we know tasks; what the task asks is put to the client on its stream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from gateway.running import as_task
from gateway.upstream import Answer, AskRefused, UpstreamError, UpstreamSlow
from gateway.upstream.legacy.parked import DECLINED
from gateway.upstream.legacy.task_words import knows_tasks
from gateway.upstream.messages import read
from gateway.upstream.tasks import EXTENSION, declaring

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.upstream import Ask, Downstream

    Send = Callable[[Ask], Coroutine[None, None, Answer]]

POLL: Final = 1.0  # seconds, unless the server names a time
SHORTEST_POLL: Final = 0.1
LONGEST_POLL: Final = 10.0
CANCELLED: Final = b'{"code":-32603,"message":"The task was cancelled."}'

_background: set[asyncio.Task[None]] = set()


class _Request(msgspec.Struct):
    method: str
    params: Raw = Raw(b"{}")


class _Task(msgspec.Struct):
    taskId: str = ""  # noqa: N815 - the names on the wire
    status: str = ""
    resultType: str = "complete"  # noqa: N815
    pollIntervalMs: float | None = None  # noqa: N815
    inputRequests: dict[str, _Request] = {}  # noqa: N815
    result: Raw = Raw()
    error: Raw = Raw()


_encode: Final = msgspec.json.Encoder().encode


def needs_driving(ask: Ask) -> bool:
    """Whether this is a call of a client that cannot be told of tasks, at a server that may insist on them."""
    return ask.tasks and bool(ask.legacy_session) and ask.method == "tools/call" and not knows_tasks(ask)


async def driven(ask: Ask, down: Downstream, send: Send, limit: float) -> Answer:
    """The answer of a call, whatever it has to become on the way; `limit` is how many seconds it may take."""
    await as_task()
    answer = await send(ask)
    if not _insists(answer):
        return answer
    able = replace(ask, capabilities=declaring(ask.capabilities))
    begun = await send(able)
    task: _Task = read(begun.result, _Task) if begun.result else _Task()
    if task.resultType != "task":
        return begun
    try:
        async with asyncio.timeout(limit):
            return await _followed(able, down, send, task)
    except TimeoutError as late:
        _cancel(able, send, task.taskId)
        raise UpstreamSlow("the task did not end in the time of a call; it was cancelled") from late
    except (asyncio.CancelledError, AskRefused):
        _cancel(able, send, task.taskId)
        raise


async def _followed(ask: Ask, down: Downstream, send: Send, task: _Task) -> Answer:
    ident, answered = task.taskId, set[str]()
    while True:
        pause = POLL if task.pollIntervalMs is None else task.pollIntervalMs / 1000
        await asyncio.sleep(min(max(pause, SHORTEST_POLL), LONGEST_POLL))
        answer = await send(_about(ask, "tasks/get", ident))
        if answer.error:
            return answer
        task = read(answer.result, _Task)
        if task.status == "input_required":
            await _answered(ask, down, send, ident, task, answered)
        elif task.status != "working":
            return _outcome(task)


async def _answered(ask: Ask, down: Downstream, send: Send, ident: str, task: _Task, answered: set[str]) -> None:
    """Puts what is open and was not put before; a person reads one dialog at a time."""
    for key, request in task.inputRequests.items():
        if key in answered:
            continue
        answered.add(key)
        said = _encode({key: Raw(await _put(down, request))})
        await send(_about(ask, "tasks/update", ident, inputResponses=said))


async def _put(down: Downstream, request: _Request) -> bytes:
    try:
        return await down.request(request.method, bytes(request.params))
    except AskRefused:
        if request.method == "elicitation/create":
            return DECLINED
        raise


def _outcome(task: _Task) -> Answer:
    if task.status == "completed" and bytes(task.result):
        return Answer(result=bytes(task.result))
    return Answer(error=bytes(task.error) or CANCELLED)


def _insists(answer: Answer) -> bool:
    if not answer.error or EXTENSION.encode() not in answer.error:
        return False
    error: Any = msgspec.json.decode(answer.error)
    return bool(error.get("code") == -32021)


def _about(ask: Ask, method: str, task: str, **more: bytes) -> Ask:
    params = {"taskId": _encode(task), **more}
    return replace(ask, method=method, name=task, params=params, progress=False, param_headers=())


def _cancel(ask: Ask, send: Send, task: str) -> None:
    async def tell() -> None:
        try:
            await send(_about(ask, "tasks/cancel", task))
        except UpstreamError:
            return  # it ends by itself when its time is over

    telling = asyncio.create_task(tell())
    _background.add(telling)
    telling.add_done_callback(_background.discard)
