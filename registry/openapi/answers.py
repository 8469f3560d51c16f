"""What comes out of a call: a schema that answers hold even where an API is not as exact as its description.

Clients refuse a result that its schema does not allow, and then nobody has it. So no more is promised than where to
find what: types, each of which may be null, and names. Nothing is required, and nothing is forbidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from registry.openapi.reading import plain
from registry.openapi.schemas import TooLarge, types
from registry.screening.hidden import hidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.openapi.reading import Document
    from registry.openapi.schemas import Schema, Writer

LARGEST: Final = 8 * 1024  # bytes of the whole
MOST_DEPTH: Final = 4
_WORDS: Final = 200


def is_json(media_type: str) -> bool:
    """application/json, and everything that says that it is JSON too (RFC 6839 section 3.1)."""
    essence = media_type.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def answer_schema(document: Document, responses: Any) -> Any:
    """The schema of the answers that mean success, if each of them is one JSON object; otherwise None."""
    schemas = [_schema_of(response) for response in _successes(document, responses)]
    if not schemas or any(schema is None for schema in schemas):
        return None
    return schemas[0] if all(_is_object(document, schema) for schema in schemas) else None


def loose(writer: Writer, schema: Any) -> Schema:
    """The schema, of an object, that is promised."""
    written = _loose(writer, schema, 0, ())
    return written | {"type": "object"}


def _successes(document: Document, responses: Any) -> list[Schema]:
    listed = responses.items() if isinstance(responses, dict) else ()
    return [document.resolved(value) for status, value in listed if str(status).startswith("2")]


def _schema_of(response: Mapping[str, Any]) -> Any:
    content = response.get("content")
    if not isinstance(content, dict):
        return None
    found = next((media for kind, media in content.items() if is_json(str(kind)) and isinstance(media, dict)), {})
    return found.get("schema")


def _is_object(document: Document, schema: Any) -> bool:
    target = document.resolved(schema)
    if types(target) == ("object",):
        return True
    parts = target.get("allOf")
    inner = isinstance(parts, list) and any(types(document.resolved(part)) == ("object",) for part in parts)
    return not types(target) and (isinstance(target.get("properties"), dict) or inner)


def _loose(writer: Writer, schema: Any, level: int, trail: tuple[str, ...]) -> Schema:
    writer.written += 1
    if writer.written > 500:
        raise TooLarge
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    target = writer.document.resolved(schema)
    deeper = level < min(writer.depth, MOST_DEPTH) and reference not in trail
    trail = (*trail, reference) if isinstance(reference, str) else trail
    found: Schema = {}
    if types(target):
        found["type"] = list(dict.fromkeys((*types(target), "null")))
    words = plain(target.get("description"), _WORDS)
    if words and level:
        found["description"] = words
    return found | (_inside(writer, target, level + 1, trail) if deeper else {})


def _inside(writer: Writer, schema: Schema, level: int, trail: tuple[str, ...]) -> Schema:
    found: Schema = {}
    properties = {
        name: _loose(writer, value, level, trail)
        for name, value in _properties(writer.document, schema).items()
        if not any(True for _ in hidden(name))
    }
    if properties:
        found["properties"] = properties
    if isinstance(schema.get("items"), dict) and "array" in types(schema):
        found["items"] = _loose(writer, schema["items"], level, trail)
    return found


def _properties(document: Document, schema: Schema) -> dict[str, Any]:
    """Its own, and those of the parts it is made of; what only requests hold is not in an answer."""
    parts = schema.get("allOf")
    found: dict[str, Any] = {}
    for part in (*(parts if isinstance(parts, list) else ()), schema):
        own = document.resolved(part).get("properties")
        found |= own if isinstance(own, dict) else {}
    return {name: value for name, value in found.items() if document.resolved(value).get("writeOnly") is not True}
