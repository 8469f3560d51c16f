"""What a legacy server answers, said in modern words (protocol revision 2026-07-28)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from gateway.upstream import Answer
from gateway.upstream.legacy.parked import ASKING
from gateway.upstream.messages import failure, joined, members, read
from gateway.upstream.modern import complete, head_of

if TYPE_CHECKING:
    from gateway.upstream import Ask
    from gateway.upstream.messages import Failure, Message

CACHEABLE = frozenset(
    {"tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}  # SEP-2549
)
NOT_FOUND = -32002  # of a resource; -32602 since 2026-07-28 (SEP-2164)
ASKS_FOR_URL = -32042  # only 2025-11-25 has it
INVALID_PARAMS = -32602
INTERNAL = -32603
LINKS_MOST = 5


class _Link(msgspec.Struct):
    url: str
    message: str = ""


class _Links(msgspec.Struct):
    elicitations: list[_Link] = []


class _Failure(msgspec.Struct):
    data: _Links = msgspec.field(default_factory=_Links)


class _Capabilities(msgspec.Struct):
    elicitation: dict[str, Any] = {}


def modern_answer(message: Message, ask: Ask) -> Answer:
    """The answer with what a modern one must have and without what it must not."""
    if message.error is not UNSET:
        error = bytes(message.error)
        return _links(error, ask) or Answer(error=_error(error, ask))
    return Answer(result=_result(bytes(message.result), ask.method))  # type: ignore[arg-type]  # one of the two is there


def _result(result: bytes, method: str) -> bytes:
    head = head_of(result)
    added = [b'"resultType":"complete"']
    if method in CACHEABLE and head.ttlMs is UNSET:
        added.append(b'"ttlMs":0')
    if method in CACHEABLE and head.cacheScope is UNSET:
        added.append(b'"cacheScope":"private"')
    if head.resultType is not UNSET:  # it has no such member in this era, and must not make one up
        parts = members(result)
        del parts["resultType"]
        result = joined(parts)
    return complete(result, b",".join(added))


def _error(error: bytes, ask: Ask) -> bytes:
    found = failure(error)
    if found.code == NOT_FOUND:
        return _remade(found, INVALID_PARAMS, b'{"uri":%s}' % msgspec.json.encode(ask.name))
    if -32019 <= found.code <= -32000 and not ask.legacy_session:  # a legacy caller knows what they mean
        return _remade(found, INTERNAL, b'{"code":%d}' % found.code)
    return error


def _links(error: bytes, ask: Ask) -> Answer | None:
    """An error that leads to links, as questions for a client that can be asked so; its retry simply calls again."""
    if ask.legacy_session or b"-32042" not in error or failure(error).code != ASKS_FOR_URL or not _takes_links(ask):
        return None
    asked = read(error, _Failure).data.elicitations[:LINKS_MOST]
    if not asked:
        return None
    requests = {
        f"link{number}": {
            "method": "elicitation/create",
            "params": {"mode": "url", "message": one.message, "url": one.url},
        }
        for number, one in enumerate(asked, start=1)
    }
    return Answer(result=msgspec.json.encode({"resultType": "input_required", "inputRequests": requests}))


def _takes_links(ask: Ask) -> bool:
    return ask.method in ASKING and read(ask.capabilities, _Capabilities).elicitation.get("url") is not None


def _remade(found: Failure, code: int, data: bytes) -> bytes:
    return b'{"code":%d,"message":%s,"data":%s}' % (code, msgspec.json.encode(found.message), data)
