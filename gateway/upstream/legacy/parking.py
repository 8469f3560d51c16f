"""A legacy server asks in the middle of a call; a modern client is asked within the answer (SEP-2322).

The call is parked at its question: the client hears `input_required`, and when it calls again with what it was asked
for, the answers go to the server and the same call goes on. A client may come back to another process: what it says,
and what comes of it, then pass through the rendezvous, sealed. A call whose client does not come back is cancelled.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.rendezvous import RendezvousDown
from gateway.running import as_task
from gateway.upstream import Answer, AskRefused, UpstreamBroken, UpstreamBusy, UpstreamError
from gateway.upstream.legacy.parked import (
    ASKABLE,
    LIFE,
    NOT_NOW,
    PARKED_MOST,
    RESPONSES,
    STATE,
    TOGETHER,
    Parked,
    account_of,
    answers_in,
    name_for,
)
from gateway.upstream.legacy.task_questions import TaskQuestions
from gateway.upstream.messages import members
from gateway.upstream.troubles import Trouble
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ask, Downstream, Ended
    from registry.catalogue import Credential
    from registry.secrets.vault import Vault

ALIVE_EVERY: Final = 2.0  # seconds after which a process that goes on with a call for another one says so
LOST_AFTER: Final = 8.0  # seconds without a word after which it is taken for dead
STOPPED_WITHIN: Final = 30.0  # seconds in which it hears that nobody waits any more
OF_ONE: Final = 64  # calls of one person that wait at one server; each holds a connection
CONTEXT: Final = b"parked-call"
LOST: Final = "the process that held the call has ended; the call may have been carried out"
GONE: Final = b'{"code":-32602,"message":"The question is not open any more; start the call anew."}'


class _Letter(msgspec.Struct, array_like=True):
    """What a client said at another process, and where its answer is waited for."""

    said: bytes
    box: str
    account: str  # that the client's next round would go with


class _Said(msgspec.Struct, array_like=True):
    """What comes of a call at the process that holds it: that it is at work, something said on the way, or the end."""

    alive: bool = False
    method: str = ""
    params: bytes = b""
    result: bytes = b""
    error: bytes = b""
    broken: str = ""


class Parking:
    """The parked calls of one process, and the way to those of the others."""

    def __init__(self, rendezvous: Rendezvous, vault: Vault) -> None:
        self._rendezvous = rendezvous
        self._vault = vault
        self._parked: dict[str, Parked] = {}
        self.tasks = TaskQuestions(rendezvous, vault)

    def whose(self, server: str) -> list[str]:
        """Of each call to a server that waits for what its client says, whose it is."""
        waiting = (one for one in self._parked.values() if one.server == server and not one.forsaken)
        return [one.principal.subject if one.principal is not None else "" for one in waiting]

    async def begin(
        self,
        ask: Ask,
        offered: bytes,
        down: Downstream,
        converse: Callable[[Downstream], Coroutine[None, None, Answer]],
        credential: Credential | None = None,
    ) -> Answer:
        """The answer of a conversation, or its first question; `offered` is what the client may be asked."""
        await as_task()
        methods = frozenset(ASKABLE[name] for name in members(offered))
        server = ask.entry.server if ask.entry is not None else ""
        full = len(self._parked) >= PARKED_MOST or self._has_many(ask, server)
        early = answers_in(bytes(ask.params.get(RESPONSES, b"")))
        parked = Parked(down, down, methods, ask.principal, server, early=early, full=full, credential=credential)
        parked.task = asyncio.create_task(converse(parked))
        parked.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody else looks
        return await self._round(parked)

    async def go_on(self, ask: Ask, down: Downstream, credential: Credential | None = None) -> Answer:
        """The rest of a call that was parked, here or elsewhere; nothing of it under another account."""
        await as_task()
        nonce = name_for(ask.principal, msgspec.json.decode(ask.params[STATE], type=str))
        said = bytes(ask.params.get(RESPONSES, b""))
        parked = self._parked.pop(nonce, None)
        if parked is None:
            return await self._go_on_elsewhere(nonce, said, down, account_of(credential))
        if parked.keeper is not None:
            parked.keeper.cancel()
        if parked.account != account_of(credential):
            parked.forsake()
        if parked.forsaken:
            return Answer(error=GONE)
        parked.down = down
        parked.take(said)
        return await self._round(parked)

    def _has_many(self, ask: Ask, server: str) -> bool:
        """Whether so many calls of theirs wait there already that others would find no way to that server."""
        whose = ask.principal.subject if ask.principal is not None else ""
        return len(self._parked) >= OF_ONE and self.whose(server).count(whose) >= OF_ONE

    def forsake(self, ended: Ended) -> None:
        """Cancels what waits with an account that has ended; its place is kept, so that its client hears so at once."""
        for parked in self._parked.values():
            if parked.credential is not None and ended(parked.credential):
                parked.forsake()

    async def close(self) -> None:
        """Whoever comes back to another process, or after a restart, hears at once that the call is gone."""
        await self.tasks.close()
        for parked in self._parked.values():
            parked.task.cancel()
            if parked.keeper is not None:
                parked.keeper.cancel()
        await asyncio.gather(*(self._withdraw(nonce) for nonce in self._parked))

    async def _withdraw(self, nonce: str) -> None:
        with suppress(RendezvousDown):
            await self._rendezvous.take(_here(nonce))

    async def _round(self, parked: Parked) -> Answer:
        asked = asyncio.ensure_future(parked.asked.wait())
        try:
            await asyncio.wait({parked.task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not parked.task.done():
                await asyncio.wait({parked.task}, timeout=TOGETHER)
        except asyncio.CancelledError:
            parked.task.cancel()
            raise
        finally:
            asked.cancel()
        if parked.task.done():
            return parked.task.result()
        parked.down = None
        state = urandom(16).hex()
        nonce = name_for(parked.principal, state)
        self._parked[nonce] = parked
        with suppress(RendezvousDown):  # before the client hears of it, and comes back elsewhere; else only here
            await self._rendezvous.put(_here(nonce), b"1", LIFE)
        parked.keeper = asyncio.create_task(self._keep(nonce, parked))
        return parked.question(state)

    async def _keep(self, nonce: str, parked: Parked) -> None:
        """Until its client comes back by way of another process, or has thought for too long."""
        try:
            letter = await self._rendezvous.receive(_box(nonce), LIFE)
            opened = b"" if letter is None else self._vault.unwrap(CONTEXT, letter)
        except (RendezvousDown, SecretRefused):
            opened = b""
        if self._parked.pop(nonce, None) is None:
            return
        if not opened:
            parked.task.cancel()
            return
        came = msgspec.msgpack.decode(opened, type=_Letter)
        if came.account != parked.account:
            parked.forsake()
        if parked.forsaken:
            await self._told_gone(came.box)
            return
        parked.down = _Far(self, came.box, parked.first)
        parked.take(came.said)
        beside = [asyncio.create_task(work) for work in (self._given_up(nonce, parked), self._alive(came.box))]
        try:
            await self.post(came.box, await self._outcome(parked))
        except RendezvousDown:
            parked.task.cancel()
        finally:
            for task in beside:
                task.cancel()

    async def _alive(self, box: str) -> None:
        """Again and again, for whoever waits for a process that was killed would wait for nothing."""
        while True:
            with suppress(RendezvousDown):
                await self.post(box, _Said(alive=True))
            await asyncio.sleep(ALIVE_EVERY)

    async def _told_gone(self, box: str) -> None:
        with suppress(RendezvousDown):
            await self.post(box, _Said(error=GONE))

    async def _given_up(self, nonce: str, parked: Parked) -> None:
        """Ends the call when the client hangs up on the process that it came back to."""
        with suppress(RendezvousDown):
            if await self._rendezvous.receive(_stop(nonce), LIFE) is not None:
                parked.task.cancel()

    async def _outcome(self, parked: Parked) -> _Said:
        try:
            answer = await self._round(parked)
        except UpstreamError as error:
            return _Said(broken=str(error))
        except asyncio.CancelledError:
            if not parked.task.cancelled():
                raise
            return _Said(broken="the call was given up")
        return _Said(result=answer.result, error=answer.error)

    async def post(self, box: str, said: _Said) -> None:
        """To the process that the client came back to."""
        await self._rendezvous.send(box, self._vault.wrap(CONTEXT, msgspec.msgpack.encode(said)), LIFE)

    async def _go_on_elsewhere(self, nonce: str, said: bytes, down: Downstream, account: str) -> Answer:
        box = f"parked-answer/{urandom(16).hex()}"
        letter = self._vault.wrap(CONTEXT, msgspec.msgpack.encode(_Letter(said, box, account)))
        try:
            if await self._rendezvous.take(_here(nonce)) is None:
                return Answer(error=GONE)
            await self._rendezvous.send(_box(nonce), letter, LOST_AFTER)
            found = await self._heard(box, down)
        except (RendezvousDown, SecretRefused) as error:
            raise UpstreamBusy("the call that asked cannot be reached; try again") from error
        except asyncio.CancelledError:
            await self._stop(nonce)
            raise
        if found is None:
            await self._stop(nonce)
            return Answer(error=GONE)
        if found.broken:
            raise UpstreamError(found.broken)
        return Answer(result=found.result, error=found.error)

    async def _stop(self, nonce: str) -> None:
        """Nobody waits for what comes of the call."""
        with suppress(RendezvousDown):
            await self._rendezvous.send(_stop(nonce), b"1", STOPPED_WITHIN)

    async def _heard(self, box: str, down: Downstream) -> _Said | None:
        """What is said on the way goes on to the client; gives the end, or nothing where nobody took the letter."""
        taken = False
        while True:
            sealed = await self._rendezvous.receive(box, LOST_AFTER)
            if sealed is None and taken:
                raise UpstreamBroken(LOST, Trouble.LOST)
            if sealed is None:
                return None
            taken = True
            said = msgspec.msgpack.decode(self._vault.unwrap(CONTEXT, sealed), type=_Said)
            if said.method:
                await down.notify(said.method, said.params)
            elif not said.alive:
                return said


class _Far:
    """Who listens to a parked call from another process."""

    def __init__(self, parking: Parking, box: str, first: Downstream) -> None:
        self._parking = parking
        self._box = box
        self._first = first

    async def notify(self, method: str, params: bytes) -> None:
        with suppress(RendezvousDown):
            await self._parking.post(self._box, _Said(method=method, params=params))

    async def request(self, method: str, params: bytes) -> bytes:  # noqa: ARG002 - the seam's signature
        raise AskRefused(NOT_NOW)

    def refuses(self, method: str, params: bytes) -> str:
        return self._first.refuses(method, params)


def _box(nonce: str) -> str:
    return f"parked/{nonce}"


def _stop(nonce: str) -> str:
    return f"parked-stop/{nonce}"


def _here(nonce: str) -> str:
    """Lies there as long as some process holds the call."""
    return f"parked-here/{nonce}"
