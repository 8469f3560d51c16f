"""What leaves for a server: the body with our own id and envelope around the caller's bytes, and the header lines."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from gateway.upstream import UpstreamBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.upstream import Ask

MODERN_VERSION = "2026-07-28"
LEGACY_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")  # newest first
CACHED_NAME = 256  # longer ones are URIs that somebody made up
OURSELVES = b'{"name":"ostiary","title":"Ostiary","version":"0.1.0"}'

FRAME = b'{"jsonrpc":"2.0","id":%d%b%b%b'  # of a request: its number, and arguments between two parts that stay

_PREFIX = b'"io.modelcontextprotocol/'
_VERSION = _PREFIX + b'protocolVersion":"2026-07-28",' + _PREFIX + b'clientCapabilities":'
_CLIENT = b"," + _PREFIX + b'clientInfo":'
_LOG_LEVEL = b"," + _PREFIX + b'logLevel":'
_PLAIN = re.compile(r"[!-~](?:[\t -~]*[!-~])?|")
_SENTINEL = re.compile(r"=\?base64\?.*\?=", re.DOTALL)
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")


def modern_body(ask: Ask, number: int) -> bytes:
    """A request of 2026-07-28: version, capabilities and who asks stand in each `_meta` (SEP-2575)."""
    return _request(ask.method, number, ask.params, _modern_meta(ask, number))


def modern_frame(ask: Ask) -> tuple[bytes, bytes]:
    """What stands in such a request between its id and the arguments, and what behind them: for a call of a tool that
    wants no progress it is always the same. Both go into `FRAME`.
    """
    return _front(ask), b',"_meta":{%s}}}' % _modern_meta(ask, 0)


def legacy_frame(ask: Ask) -> tuple[bytes, bytes]:
    """The same for the revisions before it, where a call has nothing in its `_meta`."""
    return _front(ask), b"}}"


def _front(ask: Ask) -> bytes:
    others = members({name: value for name, value in ask.params.items() if name != "arguments"})
    return b',"method":"%s","params":{%s,"arguments":' % (ask.method.encode("ascii"), others)


def legacy_body(ask: Ask, number: int) -> bytes:
    """A request of the revisions before it; what only modern ones know stays behind."""
    meta = [b'"progressToken":%d' % number] if ask.progress else []
    if ask.meta:
        meta.append(members(ask.meta))
    params = {name: value for name, value in ask.params.items() if name not in {"inputResponses", "requestState"}}
    return _request(ask.method, number, params, b",".join(meta))


def _modern_meta(ask: Ask, number: int) -> bytes:
    meta = _VERSION + ask.capabilities + _CLIENT + (ask.client_info or OURSELVES)
    if ask.log_level:
        meta += _LOG_LEVEL + msgspec.json.encode(ask.log_level)
    if ask.progress:
        meta += b',"progressToken":%d' % number
    if ask.meta:
        meta += b"," + members(ask.meta)
    return meta


def plain_request(method: str, number: int, params: bytes = b"{}") -> bytes:
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}' % (number, method.encode("ascii"), params)


def notification(method: str, params: bytes = b"{}") -> bytes:
    return b'{"jsonrpc":"2.0","method":"%s","params":%s}' % (method.encode("ascii"), params)


def reply_to(number: bytes, *, result: bytes = b"", error: bytes = b"") -> bytes:
    """Our answer to a request of a legacy server, under its id as it wrote it."""
    return b'{"jsonrpc":"2.0","id":%s,%s}' % (number, b'"error":' + error if error else b'"result":' + result)


def modern_lines(ask: Ask) -> bytes:
    """The header lines that mirror the body (SEP-2243); made from what is sent, never taken over from the caller."""
    mirrored = (_mirrored if len(ask.name) <= CACHED_NAME else _mirrored.__wrapped__)(ask.method, ask.name)
    return mirrored + _param_lines(ask) if ask.param_headers else mirrored


@lru_cache(1024)
def _mirrored(method: str, name: str) -> bytes:
    lines = b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %s\r\n" % header_value(method)
    return lines + b"Mcp-Name: %s\r\n" % header_value(name) if name else lines


def _param_lines(ask: Ask) -> bytes:
    lines: list[bytes] = []
    for name, value in ask.param_headers:
        if not _FIELD.fullmatch(name) or not _VALUE.fullmatch(value):
            raise UpstreamBroken("an argument cannot be sent as a header; nothing was sent")
        lines += (name, b": ", value, b"\r\n")
    return b"".join(lines)


def header_value(text: str) -> bytes:
    """A value as a header may carry it: plain, or in the base64 sentinel form (streamable HTTP, value encoding)."""
    if _PLAIN.fullmatch(text) and not _SENTINEL.fullmatch(text):
        return text.encode("ascii")
    return b"=?base64?%s?=" % base64.b64encode(text.encode("utf-8"))


def members(parts: Mapping[str, bytes]) -> bytes:
    """The inside of an object."""
    return b",".join([_key(name) + value for name, value in parts.items()])


def _request(method: str, number: int, params: Mapping[str, bytes], meta: bytes) -> bytes:
    inside = members(params)
    if meta:
        inside += (b',"_meta":{%s}' if inside else b'"_meta":{%s}') % meta
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s}}' % (number, method.encode("ascii"), inside)


_KEYS = {name: b'"%s":' % name.encode("ascii") for name in ("name", "arguments", "uri", "traceparent", "cursor", "ref")}


def _key(name: str) -> bytes:
    return _KEYS.get(name) or msgspec.json.encode(name) + b":"
