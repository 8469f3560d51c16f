"""Tasks of servers of 2025-11-25: begun where a tool wants it, shown to modern clients as the extension's, and for all
who know no tasks driven to their end within the call (2025-11-25, Tasks; SEP-2663).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.running import as_task as running
from gateway.upstream import Answer, UpstreamError, UpstreamSlow
from gateway.upstream.legacy import task_words as words
from gateway.upstream.messages import failure
from gateway.upstream.tasks import MISSING, support

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.upstream import Ask, Downstream
    from gateway.upstream.legacy.task_questions import TaskQuestions

    Converse = Callable[[Ask, Downstream, bytes], Coroutine[None, None, Answer]]

POLL: Final = 1.0  # seconds between two looks at a task, unless its server names a time
SHORTEST_POLL: Final = 0.1
LONGEST_POLL: Final = 10.0
INVALID_PARAMS: Final = -32602

_background: set[asyncio.Task[None]] = set()


def begins_one(ask: Ask) -> bool:
    """Whether this call is to be begun as a task: where it must be, and where it may be and the client knows them."""
    if not ask.tasks or ask.method != "tools/call":
        return False
    wanted = support(ask.entry)
    return wanted == "required" or (wanted == "optional" and words.knows_tasks(ask))


async def begin(converse: Converse, ask: Ask, down: Downstream, declared: bytes, limit: float) -> Answer:
    """The task that the call has become, for a client that knows tasks; its outcome for any other."""
    await running()
    answer = await converse(words.as_task(ask), down, declared)
    task = words.created(answer)
    if not task:
        return answer
    if words.knows_tasks(ask):
        return words.begun(task, declared)
    said = words.task_of(task)
    try:
        async with asyncio.timeout(limit):
            if (said.pollInterval or 0) / 1000 < limit:  # its server does not want to be asked again within this call
                return await _driven(converse, ask, down, declared, said)
    except TimeoutError:
        pass
    except (asyncio.CancelledError, UpstreamSlow):
        _cancel(converse, ask, down, declared, said.taskId)
        raise
    await _tell(converse, words.about(ask, "tasks/cancel", said.taskId), down, declared)
    return Answer(error=MISSING)


async def _driven(converse: Converse, ask: Ask, down: Downstream, declared: bytes, task: words.Task) -> Answer:
    """Looks until it has ended or asks something; what it asks comes while its result is waited for."""
    while task.status == "working":
        pause = POLL if task.pollInterval is None else task.pollInterval / 1000
        await asyncio.sleep(min(max(pause, SHORTEST_POLL), LONGEST_POLL))
        answer = await converse(words.about(ask, "tasks/get", task.taskId), down, declared)
        if answer.error:
            return answer
        task = words.task_of(answer.result)
    return words.without_relation(await converse(words.about(ask, "tasks/result", task.taskId), down, declared))


def _cancel(converse: Converse, ask: Ask, down: Downstream, declared: bytes, task: str) -> None:
    telling = asyncio.create_task(_tell(converse, words.about(ask, "tasks/cancel", task), down, declared))
    _background.add(telling)
    telling.add_done_callback(_background.discard)


async def _tell(converse: Converse, ask: Ask, down: Downstream, declared: bytes) -> None:
    try:
        await converse(ask, down, declared)
    except UpstreamError:
        return  # it ends by itself when its time is over


async def answer_about(converse: Converse, ask: Ask, down: Downstream, questions: TaskQuestions) -> Answer:
    """What a modern client hears of a task: its state with what came of it, or an acknowledgement."""
    await running()
    task, declared = words.unpacked(ask)
    found = await converse(words.about(ask, "tasks/get", task), down, declared)
    if found.error:
        return _as_unknown(found)
    if ask.method == "tasks/get":
        return await _detail(converse, ask, down, questions, found.result)
    if ask.method == "tasks/update":
        await questions.answer(ask, task)
    elif words.task_of(found.result).status not in words.ENDED:
        cancelled = await converse(words.about(ask, "tasks/cancel", task), down, declared)
        if cancelled.error and failure(cancelled.error).code != INVALID_PARAMS:  # which says that it has just ended
            return cancelled
    return words.ACKNOWLEDGED


async def _detail(converse: Converse, ask: Ask, down: Downstream, questions: TaskQuestions, state: bytes) -> Answer:
    task, declared = words.unpacked(ask)
    status = words.task_of(state).status

    def result(heard: Downstream) -> Coroutine[None, None, Answer]:
        return converse(words.about(ask, "tasks/result", task), heard, declared)

    if status == "input_required":
        asked = await questions.open(ask, task, declared, down, result)
        if not asked:  # it has been answered just now, or is just being asked
            return words.detail(state, status=b'"working"')
        return words.detail(state, inputRequests=asked)
    if status not in {"completed", "failed"}:
        return words.detail(state)
    ended = await result(down)
    if ended.error:
        return words.detail(state, status=b'"failed"', error=ended.error)
    return words.detail(state, status=b'"completed"', result=words.without_relation(ended).result)


def _as_unknown(found: Answer) -> Answer:
    code: int = msgspec.json.decode(found.error).get("code", 0)
    return Answer(error=words.UNKNOWN) if code == INVALID_PARAMS else found
