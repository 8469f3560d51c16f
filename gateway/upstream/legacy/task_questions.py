"""What a task of 2025-11-25 asks while it runs, held open until a modern client answers with `tasks/update`.

Such a server asks on the stream on which its result is waited for, so one process waits there for all. What is open,
and what clients say to it, passes through the rendezvous, sealed, since a client comes to another process each time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.rendezvous import RendezvousDown
from gateway.upstream import Answer, UpstreamBusy
from gateway.upstream.legacy.parked import ASKABLE, LIFE, PARKED_MOST, RESPONSES, TOGETHER, Parked, name_for
from gateway.upstream.messages import members
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ask, Downstream
    from registry.secrets.vault import Vault

CONTEXT: Final = b"task-questions"
SOON: Final = 2.0  # seconds for which the first question is waited for
TAKEN_WITHIN: Final = 10.0  # seconds in which the process that waits fetches what a client said

_encode: Final = msgspec.msgpack.Encoder().encode


class _Letter(msgspec.Struct, array_like=True):
    said: bytes
    box: str


class _Listening(Parked):
    """Hears the questions; `news` whenever there is another, `shown` since the first could be seen everywhere."""

    news: asyncio.Event
    shown: asyncio.Event

    async def request(self, method: str, params: bytes) -> bytes:
        asked = asyncio.ensure_future(super().request(method, params))
        await asyncio.sleep(0)
        self.news.set()
        try:
            return await asked
        finally:
            asked.cancel()


class TaskQuestions:
    """The tasks that one process waits for, and the way to those of the others."""

    def __init__(self, rendezvous: Rendezvous, vault: Vault) -> None:
        self._rendezvous = rendezvous
        self._vault = vault
        self._waiting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._waiting, return_exceptions=True)

    async def open(
        self,
        ask: Ask,
        task: str,
        declared: bytes,
        down: Downstream,
        result: Callable[[Downstream], Coroutine[None, None, Answer]],
    ) -> bytes:
        """What is open now, as `inputRequests`; empty when nothing is."""
        name = name_for(ask.principal, task)
        try:
            sealed = await self._rendezvous.get(_asked(name))
            if sealed is not None:
                return self._vault.unwrap(CONTEXT, sealed)
            if len(self._waiting) < PARKED_MOST and await self._rendezvous.add(_waits(name), b"1", LIFE):
                return await self._begin(name, ask, declared, down, result)
        except (RendezvousDown, SecretRefused) as error:
            raise UpstreamBusy("what the task asks cannot be looked up; try again") from error
        return b""

    async def answer(self, ask: Ask, task: str) -> None:
        """What a client says, to whichever process waits; returns when it has been taken."""
        name, box = name_for(ask.principal, task), f"task-taken/{urandom(16).hex()}"
        letter = _encode(_Letter(ask.params.get(RESPONSES, b"{}"), box))
        try:
            if await self._rendezvous.get(_waits(name)) is None:
                return
            await self._rendezvous.send(_box(name), self._vault.wrap(CONTEXT, letter), TAKEN_WITHIN)
            if await self._rendezvous.receive(box, TAKEN_WITHIN) is None:
                await self._forget(name)  # the process that waited is gone: whoever looks next waits anew
        except RendezvousDown as error:
            raise UpstreamBusy("the answer cannot be passed on; try again") from error

    async def _begin(
        self,
        name: str,
        ask: Ask,
        declared: bytes,
        down: Downstream,
        result: Callable[[Downstream], Coroutine[None, None, Answer]],
    ) -> bytes:
        methods = frozenset(ASKABLE[kind] for kind in members(declared) if kind in ASKABLE)
        server = ask.entry.server if ask.entry is not None else ""
        listening = _Listening(None, down, methods, ask.principal, server)
        listening.news, listening.shown = asyncio.Event(), asyncio.Event()
        waiting = asyncio.create_task(self._wait(name, listening, result(listening)))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        with suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                await listening.shown.wait()
        return listening.requests() if listening.open else b""

    async def _wait(self, name: str, listening: _Listening, result: Coroutine[None, None, Answer]) -> None:
        """Until the task has ended, or nobody has said anything for too long."""
        listening.task = asyncio.create_task(result)
        listening.task.add_done_callback(lambda done: done.cancelled() or done.exception())  # `tasks/get` will tell
        try:
            while not listening.task.done():
                await self._show(name, listening)
                if not await self._hear(name, listening):
                    break
        except (RendezvousDown, SecretRefused):
            return  # whoever looks next waits anew
        finally:
            listening.shown.set()
            listening.task.cancel()
            await asyncio.wait({listening.task})
            with suppress(RendezvousDown):
                await self._forget(name)

    async def _forget(self, name: str) -> None:
        await self._rendezvous.take(_asked(name))
        await self._rendezvous.take(_waits(name))

    async def _show(self, name: str, listening: _Listening) -> None:
        await asyncio.sleep(TOGETHER)
        listening.news.clear()
        if listening.open:
            sealed = self._vault.wrap(CONTEXT, listening.requests())
            await self._rendezvous.put(_asked(name), sealed, LIFE)
            listening.shown.set()
        else:
            await self._rendezvous.take(_asked(name))

    async def _hear(self, name: str, listening: _Listening) -> bool:
        """Waits for an answer or another question; whether there was either, or the end."""
        letter = asyncio.ensure_future(self._rendezvous.receive(_box(name), LIFE))
        news = asyncio.ensure_future(listening.news.wait())
        try:
            await asyncio.wait({letter, news, listening.task}, return_when=asyncio.FIRST_COMPLETED)
            if not letter.done():
                return True
            sealed = letter.result()
        finally:
            letter.cancel()
            news.cancel()
        if sealed is None:
            return False
        came = msgspec.msgpack.decode(self._vault.unwrap(CONTEXT, sealed), type=_Letter)
        listening.take(came.said)
        await self._show(name, listening)
        await self._rendezvous.send(came.box, b"1", TAKEN_WITHIN)
        return True


def _asked(name: str) -> str:
    return f"task-asked/{name}"


def _waits(name: str) -> str:
    """Lies there as long as some process waits for the task's result."""
    return f"task-waits/{name}"


def _box(name: str) -> str:
    return f"task-said/{name}"
