"""Tasks that calls have become: nobody waits for them here, and they end with what let them begin all the same (P-4).

A server that runs a task hears that it is cancelled, with the account that the task runs with, whoever or whatever was
ended: the token that began it, its person, a right, the account. Its id opens nothing from then on, in any process.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from gateway.journal import JournalDown
from gateway.portal import handles
from gateway.portal.calls import asking
from gateway.portal.calls.asking import PROGRESS_TOKEN
from gateway.portal.calls.targets import TARGETS, decided
from gateway.portal.headers import LOG_LEVEL_KEY
from gateway.portal.lasting import judged_by
from gateway.portal.wire import Message
from gateway.problems import Problem
from gateway.upstream import UpstreamError
from gateway.upstream.refreshing.reading import Nobody

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.snapshots import Snapshot
    from gateway.upstream import Ask
    from registry.catalogue import Credential, Upstream

MOST: Final = 2000  # tasks that a process remembers, the newest; of others the ids are refused all the same
PATIENCE: Final = 10.0  # seconds in which a server hears that a task is cancelled
CANCEL: Final = "tasks/cancel"
_NOT_HERE: Final = frozenset((PROGRESS_TOKEN, LOG_LEVEL_KEY))

_encode: Final = msgspec.json.Encoder().encode


class _Task(msgspec.Struct):
    """`exchange` is who began it, as the last snapshot has them; `ask` what its server hears when it is to end."""

    exchange: Exchange
    server: Upstream
    ask: Ask
    credential: Credential | None
    until: float


class RunningTasks:
    """The tasks that were begun or looked at by way of one process, by the ids that clients know."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Task] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, exchange: Exchange, ident: str, credential: Credential | None) -> None:
        """A server runs a task for whoever asks; they ask about it with `credential` now."""
        known = self._tasks.get(ident)
        if known is not None:
            known.credential = credential
            return
        cancelling = _cancelling(exchange, ident)
        target, handle = TARGETS[CANCEL](cancelling), handles.opened(exchange, ident)
        if target.entry is None or handle is None:  # its time was over at once
            return
        while len(self._tasks) >= MOST:
            del self._tasks[next(iter(self._tasks))]
        server = exchange.snapshot.catalogue.upstreams[target.server]
        ask = asking.prepare(cancelling, target)
        self._tasks[ident] = _Task(cancelling, server, ask, credential, handle.until)

    def end(self, ident: str) -> None:
        """It runs no more."""
        self._tasks.pop(ident, None)

    def recall(self, snapshot: Snapshot) -> set[asyncio.Task[None]]:
        """Cancels those that could not begin now; gives what still has to be told to their servers."""
        now = time.time()
        for ident, task in tuple(self._tasks.items()):
            judged = judged_by(task.exchange, snapshot, in_time=False) if now < task.until else None
            if judged is not None and _may_go_on(judged):
                task.exchange = judged
                continue
            del self._tasks[ident]
            if now < task.until and _is_there(snapshot, task.server):
                self._tell(task)
        return set(self._ending)

    def _tell(self, task: _Task) -> None:
        telling = asyncio.create_task(_cancelled(task))
        self._ending.add(telling)
        telling.add_done_callback(self._ending.discard)


def _cancelling(exchange: Exchange, ident: str) -> Exchange:
    """What its client would say to end it. Nothing else of the request is kept for as long as the task may run."""
    message = exchange.message
    raw = {name: value for name, value in message.meta.items() if name not in _NOT_HERE}
    seen = message.tree["params"].get("_meta") if message.has_meta else None
    meta = {"_meta": {name: value for name, value in seen.items() if name not in _NOT_HERE}} if seen else {}
    tree = {"jsonrpc": "2.0", "id": None, "method": CANCEL, "params": {"taskId": ident, **meta}}
    asked = Message(b"null", CANCEL, {"taskId": msgspec.Raw(_encode(ident))}, raw, tree, has_meta=message.has_meta)
    nobody: Any = None  # hears of it
    arrival = replace(exchange.arrival, line=None, request=None)
    return replace(exchange, message=asked, arrival=arrival, reply=nobody, found=None)


def _may_go_on(exchange: Exchange) -> bool:
    """What a stronger sign-in would allow was allowed when it began: time alone does not end it."""
    try:
        target = TARGETS[CANCEL](exchange)
    except Problem:
        return False
    if target.entry is None:
        return False
    decision = decided(exchange, target)
    return bool(decision) or decision.stronger_token_helps


def _is_there(snapshot: Snapshot, server: Upstream) -> bool:
    """To one that is not approved any more, or has gone elsewhere, nothing is said."""
    now = snapshot.catalogue.upstreams.get(server.slug)
    return now is not None and (now.url, now.transport) == (server.url, server.transport)


async def _cancelled(task: _Task) -> None:
    exchange, world = task.exchange, task.exchange.world
    try:
        world.journal.note(
            "task.ended",
            **exchange.asker,
            portal=exchange.mount.portal,
            server=task.server.slug,
            because="what allowed it was ended",
        )
        async with asyncio.timeout(PATIENCE):
            await world.upstreams.send(task.server, task.ask, Nobody(), task.credential)
    except (JournalDown, UpstreamError, TimeoutError):
        return  # it ends by itself when its time is over, and nobody comes to what it did
