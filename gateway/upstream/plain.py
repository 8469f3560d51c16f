"""Answers as nearly all are, told from all others by as little looking as can be.

A result is plain if it is complete, no failure, and has no character in it that a person would not see. For whatever is
not, or of which that is not certain, there are `conversation` and the strictness of `messages`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

if TYPE_CHECKING:
    from gateway.egress.reply import Reply

LONGEST: Final = 64 * 1024  # bytes of an event stream that are looked at before it is read as one
PIECES: Final = 8  # in which they may come

_FRONT: Final = b'{"jsonrpc":"2.0","id":%d,"result":'
_RESULT: Final = b'{"result":'
_BACK: Final = b',"jsonrpc":"2.0","id":%d}'
_BRACE: Final = ord("}")
_EVENT: Final = re.compile(  # one message, perhaps behind an event that only gives the stream an id (SEP-1699)
    rb"(?:(?:(?:id|retry): [^\r\n]*\r?\n)+data: ?\r?\n\r?\n)?(?:(?:event: message|id: [^\r\n]*)\r?\n)*"
    rb"data: ([^\r\n]+)\r?\n\r?\n"
)
_ENDS: Final = (b"\n\n", b"\r\n\r\n")
_COMPLETE: Final = b'{"resultType":"complete",%b'


class _Whole(msgspec.Struct, forbid_unknown_fields=True):
    jsonrpc: str
    id: Raw
    result: Raw


class _Head(msgspec.Struct):
    """What a result may say of itself that makes a difference."""

    resultType: str | UnsetType = UNSET  # noqa: N815
    isError: bool = False  # noqa: N815
    ttlMs: Raw | UnsetType = UNSET  # noqa: N815
    cacheScope: Raw | UnsetType = UNSET  # noqa: N815
    structuredContent: Raw | UnsetType = UNSET  # noqa: N815


_whole: Final = msgspec.json.Decoder(_Whole)
_head: Final = msgspec.json.Decoder(_Head)
_BROKEN: Final = (msgspec.DecodeError, RecursionError)


def message_in(stream: Reply) -> bytes | None:
    """The one message that is all of an event stream, or all of it that counts; None as long as more has to come.

    Empty where it may be anything else: several messages, a fault on the way.
    """
    came = stream.body()
    if len(came) > LONGEST or stream.pieces > PIECES:
        return b""
    found = _EVENT.fullmatch(came)
    if found is not None:
        return found[1]
    return None if not stream.over and (b"{" not in came or not came.endswith(_ENDS)) else b""


def of_modern(body: bytes, number: int) -> bytes:
    """The result in the answer of a modern server to request `number`, if it is plain; else nothing."""
    result = _result(body, number)
    try:
        head = _head.decode(result)
    except _BROKEN:
        return b""
    return result if head.resultType == "complete" and not head.isError else b""


def of_legacy(body: bytes, number: int) -> bytes:
    """The same for a server of before, said in modern words."""
    result = _result(body, number)
    try:
        head = _head.decode(result)
    except _BROKEN:
        return b""
    if head.isError or head.resultType is not UNSET or not result.startswith(b'{"'):
        return b""
    return _COMPLETE % result[1:]


def from_legacy_to_legacy(body: bytes, number: int) -> bytes:
    """The same for a client of before too: then nothing has to be said in other words."""
    result = _result(body, number)
    try:
        head = _head.decode(result)
    except _BROKEN:
        return b""
    if head.isError or head.resultType is not UNSET or head.ttlMs is not UNSET or head.cacheScope is not UNSET:
        return b""
    structured = head.structuredContent
    return result if structured is UNSET or bytes(structured).startswith(b"{") else b""


def _result(body: bytes, number: int) -> bytes:
    """The result in the answer to `number`, by its own bytes; nothing where they could hold what is not looked at.

    What is around it is compared, so whoever decodes what is left has looked at all of the answer.
    """
    if not body.isascii() or body.find(b"\\u") >= 0:
        return b""
    front = _FRONT % number
    if body.startswith(front):
        return body[len(front) : -1] if body[-1] == _BRACE else b""
    back = _BACK % number
    if body.startswith(_RESULT) and body.endswith(back):
        return body[len(_RESULT) : -len(back)]
    return _by_its_members(body, number)


def _by_its_members(body: bytes, number: int) -> bytes:
    try:
        answer = _whole.decode(body)
    except _BROKEN:
        return b""
    return bytes(answer.result) if bytes(answer.id) == b"%d" % number and answer.jsonrpc == "2.0" else b""
