"""`tasks/result`: waits for the end of a task and asks the client meanwhile whatever it asks (2025-11-25, Tasks, "Input
Required Status"), on the stream of that very request, and tells it there of each change.

Each look is judged by what holds then, so a result whose right was taken back meanwhile is not given.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.calls.relay import notification
from gateway.portal.legacy import down, questions, turns
from gateway.portal.legacy.tasks import words
from gateway.portal.legacy.tasks.looking import Task, ask, first_to_tell, look, now
from gateway.portal.listening import hints
from gateway.portal.wire import join
from gateway.problems import INTERNAL_ERROR, Problem
from gateway.upstream import Answer, AskRefused

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.tasks.words import State
    from gateway.portal.listening.hints import Hint
    from gateway.portal.wire import RawMembers

POLL: Final = 1.0  # seconds between two looks, unless the server names a time
SHORTEST: Final = 0.1
LONGEST: Final = 30.0
SLOWER: Final = 1.2  # of what takes long each look comes later than the one before it, up to
PATIENT: Final = 5.0
AFTER_AN_ANSWER: Final = 0.1
NOT_YET: Final = "The task has not ended yet; ask for its result again."
_NONE: Final = b'{"code":-32603,"message":"The task ended without a result."}'


async def awaited(exchange: Exchange, task: Task) -> Answer:
    """What the call would have been answered with. Raises Problem, or Failed."""
    try:
        async with asyncio.timeout(exchange.world.settings.call_limit), hints.of(exchange, task.ident) as hint:
            return await _Waiting(exchange, task, hint).outcome()
    except TimeoutError as late:
        raise Problem(200, INTERNAL_ERROR, NOT_YET) from late


class _Waiting:
    """One wait for one task."""

    def __init__(self, exchange: Exchange, task: Task, hint: Hint) -> None:
        self._exchange = exchange
        self._hint = hint
        self._task = task
        self._told: tuple[str, str, str] | None = None
        self._answered: set[str] = set()
        self._slower = 1.0

    async def outcome(self) -> Answer:
        while True:
            members, state = await self._look()
            if state.ended:
                return _outcome(self._exchange, self._task, members, state)
            requests = turns.requests_in(members) if state.status == "input_required" else {}
            news = [key for key in requests if key not in self._answered]
            for key in news:
                await self._put(key, requests[key])
            await self._hint.wait(AFTER_AN_ANSWER if news else self._pause(state))

    async def _look(self) -> tuple[RawMembers, State]:
        self._exchange = now(self._exchange)
        members = await look(self._exchange, self._task)
        state = words.state_of(members)
        news = self._told not in {None, state.mark}
        self._told = state.mark
        if news and await first_to_tell(self._exchange, self._task, state.mark):
            await self._exchange.reply.event(notification(words.STATUS, words.task(members, self._task.ttl)))
        return members, state

    def _pause(self, state: State) -> float:
        pause = POLL if state.pollIntervalMs is None else state.pollIntervalMs / 1000
        self._slower *= SLOWER
        return min(max(pause, SHORTEST, min(pause * self._slower, PATIENT)), LONGEST)

    async def _put(self, key: str, request: turns.Request) -> None:
        """One question, unless it is answered elsewhere while a person thinks about it."""
        if not self._exchange.reply.streams:
            return  # whoever takes no events may ask again and take them
        self._answered.add(key)
        asking = asyncio.create_task(self._said(request))
        try:
            while not (await asyncio.wait({asking}, timeout=PATIENT))[0]:
                members, _ = await self._look()
                if key not in turns.requests_in(members):
                    return
            said = join({key: asking.result()})
        finally:
            asking.cancel()
        await ask(now(self._exchange), "tasks/update", self._task.ident, inputResponses=said)

    async def _said(self, request: turns.Request) -> bytes:
        params = words.related(turns.as_of(self._exchange, request), self._task.ident)
        try:
            return await questions.ask_client(self._exchange, request.method, params)
        except AskRefused as refused:
            return turns.unanswered(request, refused)


def _outcome(exchange: Exchange, task: Task, members: RawMembers, state: State) -> Answer:
    if state.status == "cancelled":
        return Answer(error=words.CANCELLED)
    if "result" not in members:
        return down.answer(exchange, Answer(error=bytes(members.get("error", msgspec.Raw(_NONE)))))
    given = down.answer(exchange, Answer(result=bytes(members["result"])))
    return Answer(result=words.related(given.result, task.ident))
