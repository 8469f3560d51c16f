"""Headers that mirror the body: in which era a request speaks, and whether its two halves agree.

MCP 2026-07-28, Streamable HTTP, "Standard headers" and "Server validation of headers"; SEP-2243 for the encoding of
values. Whoever reads the body must compare, so that nobody in between can be shown another tool than is called.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.portal.wire import INVALID_PARAMS
from gateway.problems import HEADER_MISMATCH, UNSUPPORTED_VERSION, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.edge import Arrival
    from gateway.portal.wire import Message

MODERN: Final = "2026-07-28"
LEGACY: Final = ("2025-11-25", "2025-06-18", "2025-03-26")  # newest first
_LEGACY_HEADERS: Final = frozenset((*(version.encode() for version in LEGACY), b"2024-11-05"))

VERSION_KEY: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO_KEY: Final = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL_KEY: Final = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION_KEY: Final = "io.modelcontextprotocol/subscriptionId"
SERVER_INFO_KEY: Final = "io.modelcontextprotocol/serverInfo"

KEPT: Final = 256  # bytes of a value up to which its text is remembered: long ones would fill the memory
_ROUTING: Final = (b"mcp-protocol-version", b"mcp-method", b"mcp-name")
_NAMED: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
_SENTINEL: Final = re.compile(r"=\?base64\?(.*)\?=", re.DOTALL)
_PLAIN: Final = re.compile(r"[\t\x20-\x7e]*")
_DECIMAL: Final = re.compile(r"-?[0-9]{1,400}(?:\.0+)?")


def is_modern(arrival: Arrival) -> bool:
    """Whether the version header asks for the modern ladder: a modern version, or one that nobody knows."""
    version = arrival.headers.get(b"mcp-protocol-version")
    return version is not None and version not in _LEGACY_HEADERS


class Mirror(msgspec.Struct, frozen=True):
    """What the headers of a request say of its body; None is what is not there, or cannot be read."""

    version: str | None
    method: str | None
    name: str | None


def mirror_of(arrival: Arrival) -> Mirror:
    """For a head that comes again and again it is read once."""
    return Mirror(*(_said(arrival.headers, name) for name in _ROUTING))


def check_modern(arrival: Arrival, mirror: Mirror, message: Message) -> None:
    """The ladder that every modern request climbs; raises Problem at the first rung that does not hold."""
    if arrival.doubled:
        _once(arrival, message.id)
    meta, ident, method = message.meta, message.id, message.method
    if VERSION_KEY not in meta or CAPABILITIES_KEY not in meta:
        text = f"params._meta must carry {VERSION_KEY} and {CAPABILITIES_KEY}."
        raise Problem(400, INVALID_PARAMS, text, ident=ident)
    params = message.tree["params"]
    said = params["_meta"]
    version = said[VERSION_KEY]
    if mirror.version is None or mirror.version != version:
        raise _disagreement(arrival, b"mcp-protocol-version", ident)
    if ident and (mirror.method is None or mirror.method != method):  # what a notification must carry is left open
        raise _disagreement(arrival, b"mcp-method", ident)
    if method in _NAMED:
        name = params.get(_NAMED[method])
        if name is not None and (mirror.name is None or mirror.name != name):
            raise _disagreement(arrival, b"mcp-name", ident)
    if version != MODERN:
        data = {"supported": [MODERN], "requested": version}
        raise Problem(400, UNSUPPORTED_VERSION, "Unsupported protocol version", data=data, ident=ident)
    if type(said[CAPABILITIES_KEY]) is not dict:
        raise Problem(400, INVALID_PARAMS, f"{CAPABILITIES_KEY} must be an object.", ident=ident)


def check_legacy(arrival: Arrival, message: Message) -> None:
    """A body of today under the headers of yesterday is refused: whoever routes by headers would read it wrongly."""
    if arrival.doubled:
        _once(arrival, message.id)
    if message.has_meta and VERSION_KEY in message.meta:
        raise mismatch("The MCP-Protocol-Version header does not say what params._meta says.", message.id)
    if message.method and b"mcp-method" in arrival.headers:  # need not be there, but who routes by it reads it
        _agree(arrival, b"mcp-method", message.method, message.id)
    if message.method in _NAMED and b"mcp-name" in arrival.headers:
        _agree(arrival, b"mcp-name", message.value(_NAMED[message.method]), message.id)


def mismatch(text: str, ident: bytes) -> Problem:
    return Problem(400, HEADER_MISMATCH, text, ident=ident)


def _once(arrival: Arrival, ident: bytes) -> None:
    for name in _ROUTING:
        if name in arrival.doubled:
            raise mismatch(f"The {name.decode()} header came twice.", ident)


def _agree(arrival: Arrival, name: bytes, value: Any, ident: bytes) -> None:
    said = _said(arrival.headers, name)
    if said is None or said != value:
        raise _disagreement(arrival, name, ident)


def _said(headers: Mapping[bytes, bytes], name: bytes) -> str | None:
    given = headers.get(name)
    return None if given is None else decode(given)


def _disagreement(arrival: Arrival, name: bytes, ident: bytes) -> Problem:
    wrong = "does not say what the body says" if name in arrival.headers else "is missing"
    return mismatch(f"The {name.decode()} header {wrong}.", ident)


def decode(value: bytes) -> str | None:
    """The text that a header value stands for; None when its encoding is broken, which equals nothing."""
    return (_decode if len(value) <= KEPT else _decode.__wrapped__)(value)


@lru_cache(maxsize=4096)
def _decode(value: bytes) -> str | None:
    text = value.decode("latin-1").strip(" \t")
    found = _SENTINEL.fullmatch(text)
    return text if found is None else _from_base64(found[1])


def _from_base64(payload: str) -> str | None:
    try:
        raw = base64.b64decode(payload, validate=True)
        text = raw.decode()
    except (binascii.Error, ValueError):
        return None
    return text if base64.b64encode(raw).decode() == payload else None  # canonical or nothing


def encode(value: str) -> bytes:
    """The header value for `value`: plain where it survives a header line, wrapped where not."""
    if _PLAIN.fullmatch(value) and value == value.strip(" \t") and not _SENTINEL.fullmatch(value):
        return value.encode()
    return b"=?base64?%s?=" % base64.b64encode(value.encode())


def param_lines(declared: Mapping[str, tuple[str, ...]], arguments: Any) -> tuple[tuple[bytes, bytes], ...]:
    """The `Mcp-Param-*` lines that a call with these arguments carries."""
    return tuple(
        (b"mcp-param-" + token.lower().encode(), encode(text)) for token, _, text in _present(declared, arguments)
    )


def check_params(arrival: Arrival, declared: Mapping[str, tuple[str, ...]], arguments: Any, ident: bytes) -> None:
    """Every declared header is there exactly when its argument is, and says the same."""
    present = {token: (value, text) for token, value, text in _present(declared, arguments)}
    for token in declared:
        name = b"mcp-param-" + token.lower().encode()
        given = arrival.headers.get(name)
        if name in arrival.doubled:
            raise mismatch(f"The Mcp-Param-{token} header came twice.", ident)
        if token not in present:
            if given is not None:
                raise mismatch(f"The Mcp-Param-{token} header has no argument in the body.", ident)
        elif given is None or not _same(decode(given), *present[token]):
            raise mismatch(f"The Mcp-Param-{token} header does not say what the body says.", ident)


def _present(declared: Mapping[str, tuple[str, ...]], arguments: Any) -> Iterator[tuple[str, Any, str]]:
    for token, path in declared.items():
        node = arguments
        for key in path:
            node = node.get(key) if type(node) is dict else None
        text = _text(node)
        if text is not None:
            yield token, node, text


def _text(value: Any) -> str | None:
    """How a scalar looks in a header; None for what cannot be mirrored."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _same(given: str | None, value: Any, text: str) -> bool:
    """Equal as text, or as integers ("integer values compare numerically")."""
    if given is None or given == text:
        return given is not None
    whole = type(value) is int or (type(value) is float and value.is_integer())
    return whole and _DECIMAL.fullmatch(given) is not None and int(given.partition(".")[0]) == int(value)
