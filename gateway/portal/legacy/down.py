"""Modern answers in the words of earlier revisions, on raw members: what is not spoken of passes as it was.

2026-07-28 added `resultType`, `ttlMs` and `cacheScope`, let `structuredContent` be any JSON value, and renumbered
"resource not found"; a client of an earlier revision must see none of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.portal.calls import rounds
from gateway.portal.calls.refusing import tool_error
from gateway.portal.wire import join, members_of
from gateway.problems import INTERNAL_ERROR, MISSING_CAPABILITY, Problem
from gateway.upstream import Answer
from gateway.upstream.tasks import EXTENSION

if TYPE_CHECKING:
    from gateway.portal.exchange import Exchange
    from registry.catalogue import Upstream

NOT_FOUND: Final = -32002
_NEW: Final = ("resultType", "ttlMs", "cacheScope")
_MODERN_CODES: Final = frozenset((-32020, -32021, -32022))

_encode: Final = msgspec.json.Encoder().encode


def answer(exchange: Exchange, given: Answer) -> Answer:
    """The same answer as the client's revision would have had it."""
    if given.error:
        return _error(exchange, given)
    if rounds.asks_back(given):
        return _question(exchange, given)
    return Answer(result=complete(given.result))


def complete(result: bytes) -> bytes:
    """The same for the result of something that is done."""
    members = members_of(result)
    for name in _NEW:
        members.pop(name, None)
    structured = members.get("structuredContent")
    if structured is not None and not bytes(structured).lstrip().startswith(b"{"):
        del members["structuredContent"]
    return join(members)


def _error(exchange: Exchange, given: Answer) -> Answer:
    error = msgspec.json.decode(given.error)
    code = error.get("code")
    if code == MISSING_CAPABILITY and EXTENSION.encode() in given.error:
        text = f"{_server(exchange)} takes longer for this than a call may last. What had begun was cancelled."
        return Answer(result=_legacy_tool_error(f"{text} {_AS_A_TASK}"))
    if code == MISSING_CAPABILITY and exchange.message.method == "tools/call":
        return Answer(result=_legacy_tool_error(f"{_server(exchange)} needs to ask something first. {_WHAT_TO_DO}"))
    if code == -32602 and exchange.message.method == "resources/read" and "uri" in (error.get("data") or {}):
        return Answer(error=_encode({**error, "code": NOT_FOUND}))
    if code in _MODERN_CODES:
        return Answer(error=_encode({**error, "code": INTERNAL_ERROR}))
    return given


_AS_A_TASK: Final = (
    "Call it as a task (2025-11-25: params.task), with a client that knows that revision or a later one."
)
_WHAT_TO_DO: Final = (
    "Your client cannot pass this question on: use one that can be asked such things (it says so with the capability "
    "for elicitation, sampling or roots; 2026-07-28 has them all), or do this step at the server itself."
)


def _question(exchange: Exchange, given: Answer) -> Answer:
    """A modern server asks; a legacy client is told who asks, what, and what to do."""
    text = f"{_server(exchange)} asks: {rounds.question(given)} Nothing was done yet. {_WHAT_TO_DO}"
    if exchange.message.method == "tools/call":
        return Answer(result=_legacy_tool_error(text))
    return Answer(error=_encode({"code": INTERNAL_ERROR, "message": text}))


def _legacy_tool_error(text: str) -> bytes:
    members = members_of(tool_error(text))
    del members["resultType"]
    return join(members)


def _server(exchange: Exchange) -> str:
    """The title of the server that this call went to."""
    upstream = server_of(exchange)
    return f"The server {upstream.title or upstream.slug}" if upstream is not None else "The server"


def server_of(exchange: Exchange) -> Upstream | None:
    """The server that this call went to."""
    mount, message = exchange.mount, exchange.message
    named, uri = message.value("name"), message.value("uri")
    entry = mount.tools.get(named) or mount.prompts.get(named) if isinstance(named, str) else mount.resource(uri)
    if entry is None and isinstance(uri, str):
        entry = next(iter(mount.pages.get(uri, ())), None)
    return exchange.snapshot.catalogue.upstreams.get(entry.server) if entry is not None else None


def problem(exchange: Exchange, met: Problem) -> Problem:
    """Errors of the modern ladder do not exist for a legacy client."""
    if (
        met.code == -32602
        and exchange.message.method == "resources/read"
        and isinstance(met.data, dict)
        and "uri" in met.data
    ):
        met.code = NOT_FOUND
    return met
