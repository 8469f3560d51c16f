"""Servers that were replaced by one of the other era since we looked (2026-07-28, versioning; transports, backward
compatibility).

Such a server refuses a request for its form, before it acts. So the request may go once more, in the era that it speaks
now; whether it does is asked of the server itself, for others say the same of requests that they do not like.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec import UNSET
from msgspec.structs import replace

from gateway.upstream import UpstreamBroken, UpstreamError
from gateway.upstream.messages import ONLY_MODERN_SAY, NotTaken, failure, is_answer_to, parse, refusal
from registry.errors import AddressRefused
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.egress.reply import Reply
    from gateway.upstream import Answer, Ask, Probed
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential, Upstream

APART: Final = 5.0  # seconds: a server whose answers look like another era's is asked for it no more often
OF_FORM: Final = frozenset({400, 404, 405, 406, 415, 422})  # HTTP statuses of servers that cannot take a request
MALFORMED: Final = -32600
NO_META: Final = -32602  # of a modern server to whom a request without the members of its `_meta` comes
LEGACY_BAND: Final = range(-32019, -31999)  # codes that servers of before made up, and modern ones must not


def check_taken(reply: Reply, number: int, ask: Ask, era: Era) -> None:
    """Raises NotTaken where no server of `era` that could read the request would have said this."""
    if reply.status not in OF_FORM or reply.stream:
        return
    try:
        message = parse(reply.body())
        is_answer_to(message, number)
    except UpstreamBroken:
        raise NotTaken(refusal(reply), ask.method) from None
    code = _code(message)
    if code == MALFORMED or (era is Era.LEGACY and code in ONLY_MODERN_SAY):
        raise NotTaken(UpstreamBroken("the server does not accept the form of our request"), ask.method)


def with_doubt(reply: Reply, message: Message, ask: Ask, era: Era, answer: Answer) -> Answer:
    """The answer, marked where a server of the other era may have meant something else by it."""
    if reply.status != 400 or not answer.error:
        return answer
    code = _code(message)
    strange = code in LEGACY_BAND if era is Era.MODERN else code == NO_META
    return replace(answer, strange=ask.method) if strange else answer


def _code(message: Message) -> int:
    return failure(message.error).code if message.error is not UNSET else 0


@dataclass(frozen=True, slots=True)
class _Look:
    server: Upstream
    found: asyncio.Task[bool]
    until: float


class Eras:
    """What was found out about such servers by asking them: one at a time, and none right after it was asked."""

    def __init__(self, probe: Callable[[Upstream, Credential | None], Coroutine[None, None, Probed]]) -> None:
        self._probe = probe
        self._looks: dict[str, _Look] = {}

    async def is_other(self, server: Upstream, credential: Credential | None) -> bool:
        """Whether it speaks another era than it is registered with."""
        now = asyncio.get_running_loop().time()
        look = self._looks.get(server.slug)
        if look is None or look.server is not server or (look.found.done() and now >= look.until):
            look = _Look(server, asyncio.create_task(self._ask(server, credential)), now + APART)
            self._looks[server.slug] = look
        return await asyncio.shield(look.found)

    async def _ask(self, server: Upstream, credential: Credential | None) -> bool:
        try:
            return (await self._probe(server, credential)).era is not server.era
        except (UpstreamError, AddressRefused):
            return False

    def close(self) -> None:
        for look in self._looks.values():
            look.found.cancel()
