"""Schemas of a description as JSON Schema 2020-12, whole in themselves: what goes into a call.

References are written out, because many a client cannot follow them. What would contain itself, or grow too large, is
cut to its type: the API checks what it is sent in any case, so a schema here may say less, never something else.
"""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from registry.openapi.reading import plain
from registry.screening.hidden import hidden
from registry.screening.patterns import danger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry.openapi.reading import Document

Schema = dict[str, Any]

TYPES: Final = ("string", "number", "integer", "boolean", "array", "object", "null")
DEPTHS: Final = (8, 6, 5, 4, 3, 2, 1, 0)  # levels of nesting that are tried, until the whole is small enough
MOST_NODES: Final = 2000  # schemas in one
LONGEST_WORDS: Final = 600  # characters of one description inside a schema
MOST_VALUES: Final = 200  # of an enum
LONGEST_VALUE: Final = 256
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")
_LISTS: Final = ("allOf", "anyOf", "oneOf", "prefixItems")


class TooLarge(Exception):
    """More schemas than anybody reads."""


def fitting(document: Document, schemas: Callable[[Writer], Any], most: int) -> Any:
    """What `schemas` makes with a writer, as deep as `most` bytes of JSON allow."""
    for depth in DEPTHS:
        try:
            made = schemas(Writer(document, depth))
        except TooLarge:
            continue
        if len(msgspec.json.encode(made)) <= most:
            return made
    raise TooLarge


@dataclass(slots=True)
class Writer:
    """Writes out schemas of a document, at most `depth` levels deep; counts what it writes."""

    document: Document
    depth: int
    written: int = 0

    def write(self, schema: Any, level: int = 0, trail: tuple[str, ...] = ()) -> Schema:
        """`schema` in the dialect of 2020-12. `trail` has the references that led here."""
        self.written += 1
        if self.written > MOST_NODES:
            raise TooLarge
        if not isinstance(schema, dict):
            return {"not": {}} if schema is False else {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(schema, reference, level, trail)
        written = self._own(schema)
        if level < self.depth:
            written |= self._inner(schema, level + 1, trail)
        return self._nullable(schema, written)

    def _referred(self, schema: Schema, reference: str, level: int, trail: tuple[str, ...]) -> Schema:
        target = self.document.at(reference)
        if target is None or reference in trail or len(trail) > 32:
            written = self._own(self.document.resolved(schema))
        else:
            written = self.write(target, level, (*trail, reference))
        words = plain(schema.get("description"), LONGEST_WORDS)
        return written | ({"description": words} if words else {})

    def _own(self, schema: Schema) -> Schema:
        """What a schema says without the schemas inside."""
        found: Schema = {}
        kinds = types(schema)
        if kinds:
            found["type"] = kinds[0] if len(kinds) == 1 else list(kinds)
        for name, most in (("title", 100), ("description", LONGEST_WORDS), ("format", 32)):
            words = plain(schema.get(name), most)
            if words:
                found[name] = words
        if schema.get("deprecated") is True:
            found["deprecated"] = True
        return found | dict(_values(schema)) | dict(_bounds(schema))

    def _inner(self, schema: Schema, level: int, trail: tuple[str, ...]) -> Schema:
        found: Schema = {}
        properties = schema.get("properties")
        if isinstance(properties, dict):
            kept = {name: value for name, value in properties.items() if self._is_sent(name, value)}
            found["properties"] = {name: self.write(value, level, trail) for name, value in kept.items()}
        found |= _required(schema, found.get("properties"), properties)
        for name in ("items", "additionalProperties", "not"):
            if isinstance(schema.get(name), bool):
                found[name] = schema[name]
            elif isinstance(schema.get(name), dict):
                found[name] = self.write(schema[name], level, trail)
        for name in _LISTS:
            if isinstance(schema.get(name), list) and schema[name]:
                found[name] = [self.write(one, level, trail) for one in schema[name]]
        return found

    def _is_sent(self, name: str, schema: Any) -> bool:
        """What only answers hold is not asked for."""
        return self.document.resolved(schema).get("readOnly") is not True and not any(True for _ in hidden(name))

    def _nullable(self, schema: Schema, written: Schema) -> Schema:
        """OpenAPI 3.0 has no type null."""
        if not self.document.old or schema.get("nullable") is not True:
            return written
        if "enum" in written and None not in written["enum"]:
            written["enum"] = [*written["enum"], None]
        if any(name in written for name in _LISTS[:3]):
            return {"anyOf": [written, {"type": "null"}]}
        kinds = types(schema)
        return written | ({"type": [*kinds, "null"]} if kinds and "null" not in kinds else {})


def types(schema: Schema) -> tuple[str, ...]:
    """The types that a schema names, each once."""
    given = schema.get("type")
    named = given if isinstance(given, list) else [given]
    return tuple(dict.fromkeys(kind for kind in named if isinstance(kind, str) and kind in TYPES))


def _values(schema: Schema) -> Iterator[tuple[str, Any]]:
    listed = schema.get("enum")
    if isinstance(listed, list) and 0 < len(listed) <= MOST_VALUES and all(map(_is_simple, listed)):
        yield "enum", _distinct(listed)
    for name in ("const", "default"):
        if name in schema and _is_simple(schema[name]):
            yield name, schema[name]


def _distinct(values: list[Any]) -> list[Any]:
    """The first of each; in JSON true and 1 are two values, 1 and 1.0 are one."""
    found: dict[tuple[bool, Any], Any] = {}
    for value in values:
        found.setdefault((isinstance(value, bool), value), value)
    return list(found.values())


def _is_simple(value: Any) -> bool:
    """A value that can be shown, and sent, as it is."""
    if isinstance(value, str):
        return len(value) <= LONGEST_VALUE and not any(True for _ in hidden(value))
    return value is None or isinstance(value, bool) or _is_number(value)


def _is_number(value: Any) -> bool:
    return type(value) in {int, float} and math.isfinite(value) and abs(value) < 1e30


def _bounds(schema: Schema) -> Iterator[tuple[str, Any]]:
    yield from _range(schema, "minimum", "exclusiveMinimum")
    yield from _range(schema, "maximum", "exclusiveMaximum")
    if _is_number(schema.get("multipleOf")) and schema["multipleOf"] > 0:
        yield "multipleOf", schema["multipleOf"]
    for name in _COUNTS:
        if type(schema.get(name)) is int and 0 <= schema[name] < 2**53:
            yield name, schema[name]
    if schema.get("uniqueItems") is True:
        yield "uniqueItems", True
    if _is_pattern(schema.get("pattern")):
        yield "pattern", schema["pattern"]


def _range(schema: Schema, plain_name: str, exclusive: str) -> Iterator[tuple[str, Any]]:
    """In 3.0 the exclusive one says how the other is meant; since 3.1 it is a limit of its own."""
    limit, strict = schema.get(plain_name), schema.get(exclusive)
    if _is_number(limit):
        yield (exclusive if strict is True else plain_name), limit
    if _is_number(strict):
        yield exclusive, strict


def _is_pattern(pattern: Any) -> bool:
    """One that every client may run: where its dialect or its cost is in doubt, the API is left to check it."""
    if not isinstance(pattern, str) or not pattern.isascii() or danger(pattern) or any(True for _ in hidden(pattern)):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _required(schema: Schema, kept: Schema | None, properties: Any) -> Schema:
    """Names of properties that there are; or, of a schema that has none of its own, those that it names."""
    listed = schema.get("required")
    if not isinstance(listed, list):
        return {}
    names = list(
        dict.fromkeys(name for name in listed if isinstance(name, str) and not any(True for _ in hidden(name)))
    )
    if isinstance(properties, dict):
        names = [name for name in names if name in (kept or {}) or name not in properties]
    return {"required": names} if names else {}
