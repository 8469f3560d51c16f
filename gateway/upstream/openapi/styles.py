"""How values are written into a path, a query, a header or a cookie (OpenAPI, Parameter Object, "Style Values").

Whatever a caller says stays a value: it is escaped to the last reserved character, and what a server behind a careless
proxy could take for a step in a path is refused (T-48).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import msgspec
from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.openapi.plan import Parameter

Pair = tuple[str, str]  # a name and a value, both escaped

RESERVED: Final = ":/?@!$'()*,;"  # may stand in a query as they are, where a parameter says so
DEEPEST: Final = 8
_HEADER: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|")
_STEP: Final = re.compile(r"%(?:2[eEfF]|5[cC])|[\x00-\x1f\x7f\\]")  # an escaped dot or slash, a control, a backslash
_BETWEEN: Final = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}


class Unwritable(Exception):
    """An argument cannot be sent as it is; the text is ours, for whoever called. Nothing was sent."""


def text_of(value: Any) -> str:
    """One value as text: a scalar as JSON writes it, a text as it is."""
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def in_query(parameter: Parameter, value: Any, taken: frozenset[str]) -> list[Pair]:
    """`taken` are the names of all parameters: an object whose members become parameters adds no second one."""
    escape = _escape(RESERVED if parameter.reserved else "")
    name = quote(parameter.name, safe="")
    if parameter.json or isinstance(value, str | int | float):
        return [(name, escape(msgspec.json.encode(value).decode() if parameter.json else text_of(value)))]
    if parameter.style == "deepObject":
        return _deep(name, value, escape, 0)
    explode = True if parameter.explode is UNSET else parameter.explode
    if isinstance(value, dict):
        if explode and parameter.style not in _BETWEEN:
            return [(quote(key, safe=""), escape(text_of(one))) for key, one in _own(parameter, value, taken)]
        value = [part for pair in value.items() for part in pair]
    elif explode and parameter.style not in _BETWEEN:
        return [(name, escape(text_of(one))) for one in value]
    between = _BETWEEN.get(parameter.style, ",")
    return [(name, between.join(escape(text_of(one)) for one in value))] if value else []


def in_path(parameter: Parameter, value: Any) -> str:
    """What stands in a path for an expression; never nothing, never a step up, down or aside."""
    explode = parameter.explode is True
    label, matrix = parameter.style == "label", parameter.style == "matrix"
    name = quote(parameter.name, safe="")

    def atom(one: Any) -> str:
        return _atom(parameter, text_of(one))

    if parameter.json:
        value = msgspec.json.encode(value).decode()
    if isinstance(value, dict):
        pairs = [(atom(key), atom(one)) for key, one in value.items()]
        parts = [f"{key}={one}" for key, one in pairs] if explode else [part for pair in pairs for part in pair]
    elif isinstance(value, list):
        parts = [f"{name}={atom(one)}" if matrix and explode else atom(one) for one in value]
    else:
        parts = [atom(value)]
    if not parts:
        raise Unwritable(f"the argument {parameter.called} is empty, and stands in a path")
    if label:
        return "." + ("." if explode else ",").join(parts)
    if matrix:
        return ";" + ";".join(parts) if explode and isinstance(value, dict | list) else f";{name}={','.join(parts)}"
    return ",".join(parts)


def in_header(parameter: Parameter, value: Any) -> str:
    """One line, of characters that every server reads alike."""
    written = _simple(value, explode=parameter.explode is True) if not parameter.json else text_of(value)
    if not _HEADER.fullmatch(written):
        raise Unwritable(
            f"the argument {parameter.called} goes into a header, which takes printable ASCII in one line, without "
            "spaces around it"
        )
    return written


def in_cookie(parameter: Parameter, value: Any) -> str:
    """`name=value` (RFC 6265 section 4.1.1); everything else than letters and digits is escaped."""
    return f"{parameter.name}={quote(_simple(value, explode=False), safe='')}"


def check_path(path: str) -> None:
    """What a path has become, looked at as the most careless server would: no segment may be a step."""
    for segment in path.split("/"):
        bare = unquote(unquote(segment)).partition(";")[0].strip()
        if bare in {".", ".."}:
            raise Unwritable("an argument would lead the path elsewhere; nothing was sent")


def _escape(safe: str) -> Callable[[str], str]:
    return lambda text: quote(text, safe=safe)


def _deep(name: str, value: Any, escape: Callable[[str], str], depth: int) -> list[Pair]:
    if depth > DEEPEST:
        raise Unwritable("an argument is nested too deep to be written into a query")
    if isinstance(value, dict):
        inner = ((f"{name}%5B{quote(key, safe='')}%5D", one) for key, one in value.items())
        return [pair for key, one in inner for pair in _deep(key, one, escape, depth + 1)]
    if isinstance(value, list):
        return [pair for one in value for pair in _deep(name, one, escape, depth + 1)]
    return [(name, escape(text_of(value)))]


def _own(parameter: Parameter, value: dict[str, Any], taken: frozenset[str]) -> list[tuple[str, Any]]:
    for key in value:
        if key in taken - {parameter.name}:
            raise Unwritable(f"the argument {parameter.called} has a member {key!r}, which is an argument of its own")
    return list(value.items())


def _atom(parameter: Parameter, text: str) -> str:
    pieces = text.split("/") if parameter.segments else [text]
    for piece in pieces:
        if piece.strip() in {"", ".", ".."} or "/" in piece or _STEP.search(piece):
            raise Unwritable(
                f"the argument {parameter.called} stands in a path: it must not be empty, nor hold dots alone, "
                f"{'empty parts' if parameter.segments else 'slashes'}, backslashes, or escapes of them"
            )
    return "/".join(quote(piece, safe="") for piece in pieces)


def _simple(value: Any, *, explode: bool) -> str:
    if isinstance(value, dict):
        pairs = [(key, text_of(one)) for key, one in value.items()]
        return ",".join(f"{key}={one}" if explode else f"{key},{one}" for key, one in pairs)
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)
