"""A legacy server asks in the middle of a call; a modern client is asked within the answer (SEP-2322).

The call is parked at its question: the client hears `input_required`, and when it calls again with what it was asked
for, the answers go to the server and the same call goes on. A client may come back to another process: what it says,
and what comes of it, then pass through the rendezvous, sealed. A call whose client does not come back is cancelled.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.rendezvous import RendezvousDown
from gateway.running import as_task
from gateway.upstream import Answer, AskRefused, UpstreamBusy, UpstreamError
from gateway.upstream.messages import joined, members
from registry.errors import SecretRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from authz.principals import Principal
    from gateway.rendezvous import Rendezvous
    from gateway.upstream import Ask, Downstream
    from registry.vault import Vault

LIFE: Final = 600.0  # seconds for which a question may be thought about, within the time of the call
TOGETHER: Final = 0.02  # seconds in which questions that a server asks at once become one
TAKEN_WITHIN: Final = 30.0  # seconds in which the process that holds a call fetches what its client said
PARKED_MOST: Final = 1000  # calls of one process
ASKABLE: Final = {"elicitation": "elicitation/create", "sampling": "sampling/createMessage", "roots": "roots/list"}
ASKING: Final = frozenset({"tools/call", "prompts/get", "resources/read"})  # may be answered with a question (SEP-2322)
STATE: Final = "requestState"
RESPONSES: Final = "inputResponses"
CONTEXT: Final = b"parked-call"
NOT_NOW: Final = b'{"code":-32603,"message":"The client cannot be asked now."}'
GONE: Final = b'{"code":-32602,"message":"The question is not open any more; start the call anew."}'

_encode: Final = msgspec.json.Encoder().encode


class _Letter(msgspec.Struct, array_like=True):
    """What a client said at another process, and where its answer is waited for."""

    said: bytes
    box: str


class _Outcome(msgspec.Struct, array_like=True):
    result: bytes
    error: bytes
    broken: str


@lru_cache(maxsize=256)
def askable(capabilities: bytes) -> bytes:
    """Of what a modern client declared, what a legacy server may ask of it; empty when it is nothing."""
    declared = members(capabilities)
    kept: dict[str, msgspec.Raw] = {name: declared[name] for name in ASKABLE if name in declared}
    return joined(kept) if kept else b""


@dataclass(eq=False)
class Parked:
    """One call that asks: the Downstream of its conversation, whoever listens at the time."""

    down: Downstream | None
    methods: frozenset[str]  # that the client may be asked
    principal: Principal | None  # the only one whose answers count
    server: str
    task: asyncio.Task[Answer] = field(init=False)
    keeper: asyncio.Task[None] | None = None
    open: dict[str, tuple[str, bytes, asyncio.Future[bytes]]] = field(default_factory=dict)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    full: bool = False
    count: int = 0

    async def notify(self, method: str, params: bytes) -> None:
        if self.down is not None:
            await self.down.notify(method, params)

    async def request(self, method: str, params: bytes) -> bytes:
        if self.full or method not in self.methods:
            raise AskRefused(NOT_NOW)
        self.count += 1
        said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        key = f"q{self.count}"
        self.open[key] = (method, params, said)
        self.asked.set()
        try:
            return await said
        finally:
            self.open.pop(key, None)

    def take(self, said: bytes) -> None:
        """Gives each open question its answer, if there is one; the others are asked again."""
        self.asked.clear()
        answers = members(said) if said else {}
        for key, (_, _, future) in list(self.open.items()):
            if key in answers and not future.done():
                self.open.pop(key)
                future.set_result(bytes(answers[key]))
        if self.open:
            self.asked.set()

    def question(self, state: str) -> Answer:
        """All that is open, as a modern client is asked."""
        requests = {
            key: {"method": method, "params": msgspec.Raw(_modern(params))}
            for key, (method, params, _) in self.open.items()
        }
        result = {"resultType": "input_required", "inputRequests": requests, STATE: state}
        return Answer(result=_encode(result))


class Parking:
    """The parked calls of one process, and the way to those of the others."""

    def __init__(self, rendezvous: Rendezvous, vault: Vault) -> None:
        self._rendezvous = rendezvous
        self._vault = vault
        self._parked: dict[str, Parked] = {}

    def count(self, server: str) -> int:
        """Calls to a server that wait for what their clients say."""
        return sum(parked.server == server for parked in self._parked.values())

    async def begin(
        self,
        ask: Ask,
        offered: bytes,
        down: Downstream,
        converse: Callable[[Downstream], Coroutine[None, None, Answer]],
    ) -> Answer:
        """The answer of a conversation, or its first question; `offered` is what the client may be asked."""
        await as_task()
        methods = frozenset(ASKABLE[name] for name in members(offered))
        server = ask.entry.server if ask.entry is not None else ""
        parked = Parked(down, methods, ask.principal, server, full=len(self._parked) >= PARKED_MOST)
        parked.task = asyncio.create_task(converse(parked))
        parked.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # perhaps nobody else looks
        return await self._round(parked)

    async def go_on(self, ask: Ask, down: Downstream) -> Answer:
        """The rest of a call that was parked, here or elsewhere."""
        await as_task()
        nonce = _of(ask.principal, msgspec.json.decode(ask.params[STATE], type=str))
        said = bytes(ask.params.get(RESPONSES, b""))
        parked = self._parked.pop(nonce, None)
        if parked is None:
            return await self._go_on_elsewhere(nonce, said)
        if parked.keeper is not None:
            parked.keeper.cancel()
        parked.down = down
        parked.take(said)
        return await self._round(parked)

    def close(self) -> None:
        for parked in self._parked.values():
            parked.task.cancel()
            if parked.keeper is not None:
                parked.keeper.cancel()

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
        nonce = _of(parked.principal, state)
        self._parked[nonce] = parked
        parked.keeper = asyncio.create_task(self._keep(nonce, parked))
        return parked.question(state)

    async def _keep(self, nonce: str, parked: Parked) -> None:
        """Until its client comes back by way of another process, or has thought for too long."""
        try:
            await self._rendezvous.put(_here(nonce), b"1", LIFE)
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
        parked.take(came.said)
        outcome = await self._outcome(parked)
        try:
            sealed = self._vault.wrap(CONTEXT, msgspec.msgpack.encode(outcome))
            await self._rendezvous.send(came.box, sealed, LIFE)
        except RendezvousDown:
            parked.task.cancel()

    async def _outcome(self, parked: Parked) -> _Outcome:
        try:
            answer = await self._round(parked)
        except UpstreamError as error:
            return _Outcome(b"", b"", str(error))
        return _Outcome(answer.result, answer.error, "")

    async def _go_on_elsewhere(self, nonce: str, said: bytes) -> Answer:
        box = f"parked-answer/{urandom(16).hex()}"
        letter = self._vault.wrap(CONTEXT, msgspec.msgpack.encode(_Letter(said, box)))
        try:
            if await self._rendezvous.take(_here(nonce)) is None:
                return Answer(error=GONE)
            await self._rendezvous.send(_box(nonce), letter, TAKEN_WITHIN)
            sealed = await self._rendezvous.receive(box, LIFE)
            outcome = None if sealed is None else self._vault.unwrap(CONTEXT, sealed)
        except (RendezvousDown, SecretRefused) as error:
            raise UpstreamBusy("the call that asked cannot be reached; try again") from error
        if outcome is None:
            return Answer(error=GONE)
        found = msgspec.msgpack.decode(outcome, type=_Outcome)
        if found.broken:
            raise UpstreamError(found.broken)
        return Answer(result=found.result, error=found.error)


async def in_rounds(
    parking: Parking,
    ask: Ask,
    down: Downstream,
    converse: Callable[[Downstream, bytes], Coroutine[None, None, Answer]],
) -> Answer:
    """The answer of a legacy server; for a modern caller also a question, at which the call is parked.

    `converse` asks the server, with whoever hears it and with the capabilities that may be declared to it.
    """
    if ask.legacy_session:
        return await converse(down, ask.capabilities)
    if STATE in ask.params:
        return await parking.go_on(ask, down)
    offered = askable(ask.capabilities) if ask.capabilities != b"{}" else b""
    if not offered or ask.method not in ASKING:
        return await converse(down, b"{}")
    return await parking.begin(ask, offered, down, lambda parked: converse(parked, offered))


def _modern(params: bytes) -> bytes:
    """A question without what 2026-07-28 dropped."""
    if b"elicitationId" not in params:
        return params
    parts = members(params)
    parts.pop("elicitationId", None)
    return joined(parts)


def _of(principal: Principal | None, state: str) -> str:
    """Under which name a call is parked: nobody else comes to it, whatever state he brings (T-55)."""
    actor = principal.actor if principal is not None else None
    who = [(one.issuer, one.subject) for one in (principal, actor) if one is not None]
    return sha256(_encode([state, who])).hexdigest()[:32]


def _box(nonce: str) -> str:
    return f"parked/{nonce}"


def _here(nonce: str) -> str:
    """Lies there as long as some process holds the call."""
    return f"parked-here/{nonce}"
