"""A modern server asks within its answer (SEP-2322); a legacy client is asked on the stream of its call.

We take the rounds that a modern client would take itself: put each question to the client, then call again with what
it said. Each round is a call of its own, with its own decision and its own entries in the record.
"""

from __future__ import annotations

import asyncio
from os import urandom
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec.structs import replace

from gateway.portal.calls import call, rounds
from gateway.portal.headers import LEGACY
from gateway.portal.lasting import judged_by
from gateway.portal.legacy import questions
from gateway.portal.wire import RawMembers, join, members_of
from gateway.problems import INTERNAL_ERROR, Problem
from gateway.running import as_task
from gateway.upstream import Answer, AskRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.portal.exchange import Exchange
    from gateway.portal.legacy.sessions import Session
    from gateway.portal.wire import Message

ROUNDS: Final = 10
REQUESTS_MOST: Final = 16  # questions in one round
PAUSE: Final = 0.25  # seconds before a server that asked nothing, but wants to be called again, is

_encode: Final = msgspec.json.Encoder().encode


class Request(msgspec.Struct):
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")


class _Asked(msgspec.Struct):
    inputRequests: dict[str, Request] = {}  # noqa: N815 - the name on the wire
    requestState: msgspec.Raw = msgspec.Raw()  # noqa: N815


_asked: Final = msgspec.json.Decoder(_Asked)


async def call_until_answered(exchange: Exchange, first: Awaitable[Answer] | None = None) -> Answer:
    """The answer to a legacy client's call, which may be under way: `first` is the first answer to it then.

    What the client cannot be asked is left in the answer, for `down` to tell it.
    """
    answer = await (call.call(exchange) if first is None else first)
    for _ in range(ROUNDS):
        if not rounds.asks_back(answer):
            return answer
        asked = _read(answer)
        if exchange.session is None or not _askable(exchange, exchange.session, asked):
            return answer
        await as_task()
        said = await _ask(exchange, asked)
        exchange = _now(exchange)
        again = _again(exchange.message, said, bytes(asked.requestState))
        answer = await call.call(replace(exchange, message=again))
    if rounds.asks_back(answer):
        raise Problem(200, INTERNAL_ERROR, f"The server still asked after {ROUNDS} rounds.")
    return answer


def _now(exchange: Exchange) -> Exchange:
    """A person may think for minutes: the next round is judged by what holds then."""
    judged = judged_by(exchange, exchange.world.snapshots.current, in_time=False)
    if judged is None:
        raise Problem(200, INTERNAL_ERROR, "What this call was allowed by was taken back while the client was asked.")
    return judged


def _read(answer: Answer) -> _Asked:
    try:
        asked = _asked.decode(answer.result)
    except msgspec.DecodeError as error:
        raise Problem(502, INTERNAL_ERROR, "The server answered with something that is no question.") from error
    if len(asked.inputRequests) > REQUESTS_MOST:
        raise Problem(502, INTERNAL_ERROR, f"The server asked more than {REQUESTS_MOST} things at once.")
    return asked


def requests_in(members: RawMembers) -> dict[str, Request]:
    """What a task asks at the moment."""
    if "inputRequests" not in members:
        return {}
    return _read(Answer(result=join({"inputRequests": members["inputRequests"]}))).inputRequests


def _askable(exchange: Exchange, session: Session, asked: _Asked) -> bool:
    streams = exchange.reply.streams or not asked.inputRequests
    return streams and all(
        questions.may_ask(session, one.method, bytes(one.params)) for one in asked.inputRequests.values()
    )


async def _ask(exchange: Exchange, asked: _Asked) -> dict[str, bytes]:
    """What the client says to each question, one after the other: a person reads one dialog at a time."""
    if not asked.inputRequests:
        await asyncio.sleep(PAUSE)
    said: dict[str, bytes] = {}
    for key, request in asked.inputRequests.items():
        params = as_of(exchange, request)
        try:
            said[key] = await questions.ask_client(exchange, request.method, params)
        except AskRefused as refused:
            said[key] = unanswered(request, refused)
    return said


def as_of(exchange: Exchange, request: Request) -> bytes:
    """The question as the client's revision puts it: one that leads to a URL has an id in 2025-11-25."""
    params = bytes(request.params)
    if (
        request.method == "elicitation/create"
        and exchange.session is not None
        and exchange.session.version == LEGACY[0]
    ):
        members = members_of(params)
        if bytes(members.get("mode", b"")) == b'"url"':
            members.setdefault("elicitationId", msgspec.Raw(_encode(urandom(16).hex())))
            return join(members)
    return params


def unanswered(request: Request, refused: AskRefused) -> bytes:
    """A person can cancel a dialog; for what only software answers there is no such word, so the call ends here."""
    if request.method == "elicitation/create":
        return b'{"action":"cancel"}'
    error: Any = msgspec.json.decode(refused.error)
    why = str(error.get("message", ""))[:200] if isinstance(error, dict) else ""
    raise Problem(
        200, INTERNAL_ERROR, f"The server asked for {request.method}, and the client gave no answer. {why}".strip()
    )


def _again(message: Message, said: dict[str, bytes], state: bytes) -> Message:
    """The same request with the answers; everything else in it stays as it was, for the state is bound to it."""
    params: RawMembers = {
        name: raw for name, raw in message.params.items() if name not in {rounds.STATE, rounds.RESPONSES}
    }
    seen = {
        name: value for name, value in message.tree["params"].items() if name not in {rounds.STATE, rounds.RESPONSES}
    }
    if said:
        params[rounds.RESPONSES] = msgspec.Raw(join(said))
    if state:
        params[rounds.STATE] = msgspec.Raw(state)
        seen[rounds.STATE] = msgspec.json.decode(state)
    return replace(message, params=params, tree={**message.tree, "params": seen})
