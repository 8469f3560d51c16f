"""A server of 2026-07-28: each request says everything, and closing its connection cancels it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway.upstream import Answer, UpstreamBroken
from gateway.upstream.conversation import JSON, pass_on, streamed, whole
from gateway.upstream.envelope import modern_body, modern_lines
from gateway.upstream.eras import check_taken, with_doubt
from gateway.upstream.messages import failure, next_id, read, refusal
from gateway.upstream.plain import of_modern
from registry.tables import Era

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.egress.pool import Egress
    from gateway.egress.reply import Reply, Terms
    from gateway.egress.routes import Route
    from gateway.upstream import Ask, Downstream
    from gateway.upstream.messages import Message
    from registry.catalogue import Credential

NOT_REPEATABLE = frozenset({"tools/call"})
OUR_FAULTS = {
    -32700: "could not read our request",
    -32600: "does not accept the form of our request",
    -32020: "found that our headers and our request disagree; refresh the server's definitions",
    -32022: "no longer speaks the revision it was registered with; refresh the server",
}
_EMPTY = re.compile(rb"\{\s*\}")


class ResultHead(msgspec.Struct):
    """What every result may say of itself."""

    resultType: str | UnsetType = UNSET  # noqa: N815
    ttlMs: Raw | UnsetType = UNSET  # noqa: N815
    cacheScope: Raw | UnsetType = UNSET  # noqa: N815


_head = msgspec.json.Decoder(ResultHead)


class Notified:
    """A modern server may notify and nothing else."""

    __slots__ = ("_ask", "_down", "_number")

    def __init__(self, ask: Ask, number: int, down: Downstream) -> None:
        self._ask = ask
        self._number = number
        self._down = down

    async def heard(self, message: Message) -> None:
        if message.id is not UNSET:
            raise UpstreamBroken("the server asked back, which its revision of the protocol does not have")
        await pass_on(message, self._ask, self._number, self._down)


def send(
    egress: Egress, route: Route, ask: Ask, down: Downstream, credential: Credential | None, terms: Terms
) -> Coroutine[None, None, Answer]:
    """Ask a modern server. Leaving early, for whatever reason, closes the connection and so cancels the ask."""
    number = next_id()
    sent = egress.exchange(
        route,
        "POST",
        modern_lines(ask),
        modern_body(ask, number),
        terms,
        credential=credential,
        repeatable=ask.method not in NOT_REPEATABLE,
    )
    return answered(sent, number, ask, lambda: down)


async def answered(sent: Coroutine[None, None, Reply], number: int, ask: Ask, down: Callable[[], Downstream]) -> Answer:
    """The answer that `sent` brings, whose reply is closed in the end."""
    reply = await sent
    try:
        if reply.content_type == JSON and reply.status == 200 and (result := of_modern(reply.body(), number)):
            return Answer(result=result)
        check_taken(reply, number, ask, Era.MODERN)
        check_status(reply)
        if reply.stream:
            return said(await streamed(reply, number, Notified(ask, number, down())))
        message = whole(reply, number)
        return with_doubt(reply, message, ask, Era.MODERN, said(message))
    finally:
        reply.close()


def check_status(reply: Reply) -> None:
    """200, or one of the statuses that carry a JSON-RPC error of the modern era."""
    if reply.status != 200 and reply.status not in {400, 404}:
        raise refusal(reply)


def said(message: Message) -> Answer:
    """What a modern server's last message comes to for the caller."""
    if message.error is not UNSET:
        code = failure(message.error).code
        if code in OUR_FAULTS:
            raise UpstreamBroken(f"the server {OUR_FAULTS[code]}")
        return Answer(error=bytes(message.error))
    result = bytes(message.result)  # type: ignore[arg-type]  # one of the two is there
    return Answer(result=result if head_of(result).resultType is not UNSET else complete(result))


def head_of(result: bytes) -> ResultHead:
    try:
        return _head.decode(result)
    except msgspec.DecodeError:
        return read(result, ResultHead)  # type: ignore[no-any-return]  # raises, in our words


def complete(result: bytes, members: bytes = b'"resultType":"complete"') -> bytes:
    """The result with these members in front; all else stays byte-true. Absent means complete (SEP-2322)."""
    if _EMPTY.fullmatch(result):
        return b"{%s}" % members
    return b"{%s,%s" % (members, result[1:])
