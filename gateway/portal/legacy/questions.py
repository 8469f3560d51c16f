"""A legacy server asks the client something in the middle of a call (elicitation, sampling, roots).

The question goes out on the stream of the call itself (SEP-2260); the answer comes as a POST of its own, perhaps to
another process, and is matched by session and id through the rendezvous. Nobody else can answer: the session is
sealed to the principal, and only a question that is open takes an answer.
"""

from __future__ import annotations

from os import urandom
from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.headers import LEGACY
from gateway.portal.wire import join, members_of
from gateway.rendezvous import RendezvousDown
from gateway.upstream import AskRefused

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import Session
    from gateway.portal.wire import Message
    from gateway.rendezvous import Rendezvous

NOT_ASKABLE: Final = b'{"code":-32601,"message":"The client cannot be asked this here."}'
PREFIX: Final = "ostiary-"
_NEEDS: Final = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_NO_ANSWER: Final = b'{"code":-32603,"message":"The client did not answer in time."}'


async def ask_client(exchange: Exchange, method: str, params: bytes) -> bytes:
    """The client's raw result. Raises AskRefused when it cannot be asked, declines with an error, or stays silent."""
    session = exchange.session
    if session is None or not exchange.reply.streams or not may_ask(session, method, params):
        raise AskRefused(NOT_ASKABLE)
    ident = PREFIX + urandom(12).hex()
    rendezvous, limit = exchange.world.rendezvous, exchange.world.settings.call_limit
    try:
        await rendezvous.put(_open(session, ident), b"1", limit)
        await exchange.reply.event(_request(ident, method, params))
        letter = await rendezvous.receive(_box(session, ident), limit)
        if letter is None:
            await rendezvous.take(_open(session, ident))
    except RendezvousDown as error:
        raise AskRefused(_NO_ANSWER) from error
    return _unpacked(letter)


async def answer(rendezvous: Rendezvous, session: Session, message: Message, life: float) -> None:
    """A posted response: to the question it answers, wherever that waits; dropped when there is none."""
    ident = message.tree["id"]
    if not isinstance(ident, str) or not ident.startswith(PREFIX) or message.reply is None:
        return
    if await rendezvous.take(_open(session, ident)) is not None:
        kind = "result" if "result" in message.reply else "error"
        await rendezvous.send(_box(session, ident), join({kind: message.reply[kind]}), life)


def may_ask(session: Session, method: str, params: bytes) -> bool:
    """Declared in this session, in a revision that knows the method (elicitation came with 2025-06-18)."""
    needed = _NEEDS.get(method)
    if needed is None or not session.declares(needed):
        return False
    if needed != "elicitation" or session.version == LEGACY[-1]:
        return needed != "elicitation"
    mode = msgspec.json.decode(members_of(params).get("mode", msgspec.Raw(b'"form"')))
    return mode == "form" or (mode == "url" and session.version == LEGACY[0] and session.declares("elicitation", "url"))


def _request(ident: str, method: str, params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":"%s","method":"%s","params":%s}' % (ident.encode(), method.encode(), params or b"{}")


def _unpacked(letter: bytes | None) -> bytes:
    if letter is None:
        raise AskRefused(_NO_ANSWER)
    members = members_of(letter)
    if "error" in members:
        raise AskRefused(bytes(members["error"]))
    return bytes(members["result"])


def _open(session: Session, ident: str) -> str:
    return f"question/{session.id}/{ident[: len(PREFIX) + 24]}"


def _box(session: Session, ident: str) -> str:
    return f"answer/{session.id}/{ident[: len(PREFIX) + 24]}"
