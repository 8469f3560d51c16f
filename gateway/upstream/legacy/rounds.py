"""How a legacy server is asked, over whatever it is reached by: it may ask back, and may run calls as tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.upstream.legacy.parked import ASKING, STATE, askable
from gateway.upstream.legacy.task_words import without_wish
from gateway.upstream.legacy.tasks import answer_about, begin, begins_one
from gateway.upstream.tasks import METHODS, undeclaring

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.upstream import Answer, Ask, Downstream
    from gateway.upstream.legacy.parking import Parking
    from registry.catalogue import Credential

    Converse = Callable[[Ask, Downstream, bytes], Coroutine[None, None, Answer]]


async def in_rounds(
    parking: Parking, ask: Ask, down: Downstream, converse: Converse, limit: float, credential: Credential | None
) -> Answer:
    """The answer of a legacy server; for a modern caller also a question, at which the call is parked, or a task.

    `converse` asks the server, with whoever hears it and with the capabilities that may be declared to it; `limit` is
    how many seconds a call may last. A parked call goes on with the account that it began with, or not at all.
    """
    if ask.method in METHODS:
        return await answer_about(converse, ask, down, parking.tasks)
    if STATE in ask.params and not ask.legacy_session:
        return await parking.go_on(ask, down, credential)

    async def asked(heard: Downstream, declared: bytes) -> Answer:
        if begins_one(ask):
            return await begin(converse, ask, heard, declared, limit)
        return await converse(without_wish(ask), heard, declared)

    if ask.legacy_session:
        return await asked(down, undeclaring(ask.capabilities))
    offered = askable(ask.capabilities) if ask.capabilities != b"{}" else b""
    if not offered or ask.method not in ASKING:
        return await asked(down, b"{}")
    return await parking.begin(ask, offered, down, lambda parked: asked(parked, offered), credential)
