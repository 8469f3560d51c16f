"""The digest of a definition: over every field, known or not, because a model may be shown any of them.

Canonical form: the JSON value with sorted keys, so that key order and layout are no drift, and every value counts to
the last character.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, NoReturn

from registry.errors import DefinitionRefused

if TYPE_CHECKING:
    from registry.tables import Kind

LARGEST = 256 * 1024  # bytes of one definition; an honest one has a few thousand
DEEPEST = 32


def digest(kind: Kind, value: dict[str, Any]) -> str:
    """SHA-256 of what `value` says, in hexadecimal; a tool and a prompt that say the same differ."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(f"{kind}\n{canonical}".encode()).hexdigest()


def parse(raw: str) -> dict[str, Any]:
    """The object that `raw` is, read strictly: what two parsers could understand differently is refused.

    Raises DefinitionRefused for duplicate keys, NaN and infinities, depth and size.
    """
    if len(raw) > LARGEST:
        raise DefinitionRefused(f"is larger than {LARGEST // 1024} KiB")
    if _depth(raw) > DEEPEST:
        raise DefinitionRefused(f"is nested deeper than {DEEPEST} levels")
    try:
        value = json.loads(raw, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int)
    except ValueError as error:
        raise DefinitionRefused("is not JSON") from error
    if not isinstance(value, dict):
        raise DefinitionRefused("is not a JSON object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise DefinitionRefused("has an object with the same key twice")
    return value


def _constant(name: str) -> NoReturn:
    raise DefinitionRefused(f"has a number that is none: {name}")


def _float(text: str) -> float:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise DefinitionRefused("has a number that is too large")
    return value


def _int(text: str) -> int:
    if len(text) > 40:
        raise DefinitionRefused("has a number that is too large")
    return int(text)


def _depth(raw: str) -> int:
    """The deepest nesting if it could be too deep; builds nothing, so that the parser cannot be driven too deep."""
    if raw.count("{") + raw.count("[") <= DEEPEST:
        return 0  # cannot be deeper than that, and most are not
    deepest = depth = 0
    inside = escaped = False
    for char in raw:
        if inside:
            escaped, inside = (char == "\\" and not escaped), (char != '"' or escaped)
        elif char == '"':
            inside = True
        elif char in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}]":
            depth -= 1
    return deepest
