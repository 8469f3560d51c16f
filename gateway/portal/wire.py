"""JSON-RPC as it arrives: read once, strictly, with every value kept as the bytes it was.

Two parsers that disagree about one message are a way around policy, so whatever they could disagree about is refused:
doubled keys at any depth, numbers no double can hold, lone surrogates, anything but one object (RFC 8259, JSON-RPC 2.0
section 4, MCP 2025-06-18 and later: no batches).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from gateway.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPTH_LIMIT: Final = 32
NODE_LIMIT: Final = 10_000
ID_LIMIT: Final = 256  # bytes of an id; it is echoed in every frame
METHOD_LIMIT: Final = 128

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602

RawMembers = dict[str, msgspec.Raw]
Recognised = tuple[bytes, str, bytes, dict[str, Any], bytes]  # id, name, arguments, the same decoded, `_meta` (or none)

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+\\?+(?:"|\Z)|[\[\]{},]', re.DOTALL)
_EXACT: Final = 16  # digits from which on not every reader holds a whole number exactly
_QUOTE: Final = ord('"')
_DEPTH_LEFT: Final = DEPTH_LIMIT - 2  # for arguments, which are in params, which are in the message
_USUAL: Final = 64 * 1024  # bytes; of what is larger, most of the cost is its bytes
_OWN_COLONS: Final = 6  # of the members of a call and of its params, without `_meta`


class _Raw(msgspec.Struct):
    """The members of a message that are passed on as the bytes they were."""

    id: msgspec.Raw = msgspec.Raw()
    params: RawMembers = {}


class _Params(msgspec.Struct, forbid_unknown_fields=True, rename={"meta": "_meta"}):
    name: str
    arguments: msgspec.Raw
    meta: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    """A call of a tool as nearly all are: with these members and no others."""

    jsonrpc: Literal["2.0"]
    id: msgspec.Raw
    method: Literal["tools/call"]
    params: _Params


class _RawId(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw()


_raw: Final = msgspec.json.Decoder(_Raw)
_call: Final = msgspec.json.Decoder(_Call)
_object: Final = msgspec.json.Decoder(dict[str, Any])
_raw_id: Final = msgspec.json.Decoder(_RawId)
_members: Final = msgspec.json.Decoder(RawMembers)
_tree: Final = msgspec.json.Decoder()
_encode: Final = msgspec.json.Encoder().encode


class Message(msgspec.Struct, gc=False):
    """One message. `id` is raw JSON, empty for a notification; `method` is empty for a posted response.

    `params` and `meta` hold the members of `params` (without `_meta`) and of `params._meta` as raw JSON; `tree` is the
    same message decoded, for looking at only. `reply` is the whole body when the message is a response.
    """

    id: bytes
    method: str
    params: RawMembers
    meta: RawMembers
    tree: dict[str, Any]
    has_meta: bool = False
    raw_meta: bytes = b""
    reply: RawMembers | None = None

    def value(self, name: str) -> Any:
        """A member of `params`, decoded; None when it is absent."""
        params = self.tree.get("params")
        return params.get(name) if params else None

    def meta_value(self, name: str) -> Any:
        params = self.tree.get("params")
        meta = params.get("_meta") if params else None
        return meta.get(name) if meta else None


def parse(body: bytes) -> Message:
    """The one message in `body`. Raises Problem with what JSON-RPC says to it."""
    tree = read_strictly(body)
    if type(tree) is not dict:
        raise refused(INVALID_REQUEST, "Send one JSON-RPC message: batches are not part of this protocol version.")
    return _message(tree, body)


def read_strictly(body: bytes) -> Any:
    """The decoded JSON, or Problem -32700 when another reader could see something else in it.

    Each member has a colon of its own, so one that decoding dropped shows in their number. Only an escape could hide a
    colon, so a body with a Unicode escape in it is read again the slow way.
    """
    opens = _opens(body)
    if opens > DEPTH_LIMIT or (len(body) >= NODE_LIMIT and opens + body.count(b",") >= NODE_LIMIT):
        _measure(body)
    try:
        tree = _tree.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refused(PARSE_ERROR, "The body is not JSON that every reader reads alike.") from error
    if _has_twins(body) if b"\\u" in body else _encode(tree).count(b":") != body.count(b":"):
        raise refused(PARSE_ERROR, "A JSON object has the same key twice.")
    return tree


def recognised(body: bytes) -> Recognised | None:
    """The call of a tool that `body` is, as `parse` would read it if it has read such a `_meta` before.

    None for everything that is unusual in any way; that is for `parse` to judge. As there, a key that came twice shows
    in the number of colons.
    """
    if len(body) > _USUAL or (opens := _opens(body)) + body.count(b",") >= NODE_LIMIT:
        return None
    try:
        call = _call.decode(body)
        params = call.params
        arguments = bytes(params.arguments)
        value = _object.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if (opens > _DEPTH_LEFT and _opens(arguments) > _DEPTH_LEFT) or arguments.find(b"\\u") >= 0:
        return None  # an escape could hide a colon
    ident, meta = bytes(call.id), bytes(params.meta)
    if (not ident.isdigit() or len(ident) >= _EXACT) and not _is_text(ident):
        return None
    colons = _encode(value).count(b":") + _OWN_COLONS
    if meta:
        colons += meta.count(b":") + 1
    if body.count(b":") != colons:
        return None  # also for a colon in the id or the name, which is unusual enough
    return ident, params.name, arguments, value, meta


def _opens(text: bytes) -> int:
    """How many arrays and objects there are at most; brackets in strings count as well."""
    return text.count(b"{") + text.count(b"[")


def _is_text(ident: bytes) -> bool:
    return len(ident) <= ID_LIMIT and ident.startswith(b'"') and ident.isascii() and b"\\" not in ident


def _has_twins(body: bytes) -> bool:
    twins = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal twins
        twins = twins or len(pairs) != len({key for key, _ in pairs})

    json.loads(body, object_pairs_hook=look)
    return twins


def _measure(body: bytes) -> None:
    """Depth and number of values, exactly, before any of them is made; stops at the first that is too many."""
    depth = values = strings = 0
    for found in _TOKEN.finditer(body):
        mark = body[found.start()]
        strings += mark == _QUOTE
        values += mark in b"[{,"
        depth += (mark in b"[{") - (mark in b"]}")
        if depth > DEPTH_LIMIT:
            raise refused(INVALID_REQUEST, f"The body is nested more than {DEPTH_LIMIT} deep.")
        if values >= NODE_LIMIT or strings > 2 * NODE_LIMIT:
            raise refused(INVALID_REQUEST, f"The body has more than {NODE_LIMIT} values.")


def _message(tree: dict[str, Any], body: bytes) -> Message:
    if tree.get("jsonrpc") != "2.0":
        raise refused(INVALID_REQUEST, 'Not JSON-RPC 2.0: "jsonrpc" must be "2.0".')
    raw = _raw.decode(body) if type(tree.get("params")) is dict else _raw_id.decode(body)
    ident = _id(tree, bytes(raw.id))
    method = tree.get("method")
    if method is None:
        return _response(tree, _members.decode(body), ident)
    if type(method) is not str or not 0 < len(method) <= METHOD_LIMIT:
        raise refused(INVALID_REQUEST, 'Not a JSON-RPC request: "method" must be a name.')
    if "result" in tree or "error" in tree:
        raise refused(INVALID_REQUEST, "A message is a request or a response, not both.")
    if isinstance(raw, _Raw):
        return _request(tree, raw.params, ident, method)
    if "params" in tree:
        raise Problem(400, INVALID_REQUEST, '"params" must be an object.', ident=ident)
    return Message(ident, method, {}, {}, tree)


def _request(tree: dict[str, Any], members: RawMembers, ident: bytes, method: str) -> Message:
    params = tree["params"]
    if "_meta" not in params:
        return Message(ident, method, members, {}, tree)
    if type(params["_meta"]) is not dict:
        raise Problem(400, INVALID_PARAMS, "params._meta must be an object.", ident=ident)
    raw = members.pop("_meta")
    return Message(ident, method, members, _members.decode(raw), tree, has_meta=True, raw_meta=bytes(raw))


def _response(tree: dict[str, Any], raw: RawMembers, ident: bytes) -> Message:
    if not ident or ("result" in tree) == ("error" in tree):
        raise refused(INVALID_REQUEST, "Neither a JSON-RPC request nor a response.")
    return Message(ident, "", {}, {}, tree, reply=raw)


def _id(tree: dict[str, Any], ident: bytes) -> bytes:
    """The raw id: a string or an integer (MCP, Requests: "MUST NOT be null"); empty for a notification."""
    if "id" not in tree:
        return b""
    if type(tree["id"]) not in {int, str} or len(ident) > ID_LIMIT:
        raise refused(INVALID_REQUEST, f'"id" must be a string or an integer of at most {ID_LIMIT} bytes.')
    return ident


def refused(code: int, message: str) -> Problem:
    return Problem(400, code, message)


def join(members: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    """An object made of raw members."""
    return b"{%s}" % b",".join([b"%s:%s" % (_encode(name), bytes(value)) for name, value in members.items()])


def members_of(raw: bytes | msgspec.Raw) -> RawMembers:
    """The members of a raw object. Raises msgspec.DecodeError when it is none."""
    return _members.decode(raw)
