"""What an operation takes as content, as one argument: JSON, a form, text, or bytes in base64."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET

from registry.openapi.answers import is_json
from registry.openapi.parameters import STYLES
from registry.openapi.plan import Body, Parameter
from registry.openapi.reading import plain
from registry.openapi.schemas import types

if TYPE_CHECKING:
    from registry.openapi.operations import Operation
    from registry.openapi.reading import Document
    from registry.openapi.schemas import Schema, Writer

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
MEDIA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,63}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,95}")
_BASE64: Final = {"type": "string", "contentEncoding": "base64"}


@dataclass(frozen=True, slots=True)
class Taken:
    """A body, the schema of it, and what is said of it."""

    body: Body
    schema: Any
    words: str


def body(document: Document, operation: Operation) -> Taken | str | None:
    """What the operation takes; None if nothing; or why that cannot be sent."""
    request = document.resolved(operation.own.get("requestBody"))
    content = request.get("content")
    if not isinstance(content, dict) or not content or operation.method == "get":
        return None
    kind, media = _preferred(content)
    required = request.get("required") is True
    if not kind:
        return "it takes content of no kind that can be written" if required else None
    schema = media.get("schema")
    made = Body(type=kind, required=required, binary=_binary(document, kind, schema), fields=_fields(kind, media))
    return Taken(made, schema, plain(request.get("description"), 600))


def body_schema(writer: Writer, taken: Taken) -> Schema:
    """What a caller is told of it. Bytes are text in base64 (2020-12, contentEncoding)."""
    if taken.body.binary == ("",):
        words = taken.words or f"{taken.body.type}, in base64"
        return _BASE64 | {"description": words}
    if not _is_structured(taken.body.type):
        return {"type": "string", "description": taken.words or taken.body.type}
    written = writer.write(taken.schema, 1)
    properties = written.get("properties", {})
    for name in properties.keys() & set(taken.body.binary):
        said = properties[name].get("description")
        properties[name] = _BASE64 | ({"description": said} if said else {})
    if not is_json(taken.body.type):
        written["type"] = "object"
    return written | ({"description": taken.words} if taken.words else {})


def _is_structured(kind: str) -> bool:
    return is_json(kind) or kind in {FORM, MULTIPART}


def _preferred(content: dict[Any, Any]) -> tuple[str, dict[str, Any]]:
    """The kind that says most of what is sent, in the description's order."""
    usable = {
        str(kind).partition(";")[0].strip(): media if isinstance(media, dict) else {} for kind, media in content.items()
    }
    if "*/*" in usable:
        usable.setdefault("application/json", usable["*/*"])
    found = sorted((kind for kind in usable if MEDIA.fullmatch(kind) and "*" not in kind), key=_rank)
    return (found[0], usable[found[0]]) if found else ("", {})


def _rank(kind: str) -> int:
    small = kind.lower()
    order = (small == "application/json", is_json(small), small == FORM, small == MULTIPART, _is_text(small))
    return order.index(True) if True in order else len(order)


def _is_text(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("/xml", "+xml", "/yaml", "/x-ndjson"))


def _binary(document: Document, kind: str, schema: Any) -> tuple[str, ...]:
    if kind == MULTIPART:
        properties = document.resolved(schema).get("properties")
        named = properties.items() if isinstance(properties, dict) else ()
        return tuple(name for name, value in named if _is_binary(document.resolved(value)))
    return () if _is_structured(kind) or _is_text(kind.lower()) else ("",)


def _is_binary(schema: Schema) -> bool:
    """In 3.0 a format says so; in 3.1 a media type without an encoding."""
    media = schema.get("contentMediaType")
    if isinstance(media, str) and "contentEncoding" not in schema:
        return types(schema) in {(), ("string",)}
    return schema.get("format") == "binary"


def _fields(kind: str, media: dict[str, Any]) -> dict[str, Parameter]:
    """How single fields of a form are written, where that is not the way they all are."""
    encoding = media.get("encoding")
    if kind != FORM or not isinstance(encoding, dict):
        return {}
    return {str(name): _field(str(name), one) for name, one in encoding.items() if isinstance(one, dict)}


def _field(name: str, encoding: dict[str, Any]) -> Parameter:
    style, explode = encoding.get("style"), encoding.get("explode")
    return Parameter(
        name=name,
        place="query",
        style=style if style in STYLES["query"][1:] else "",
        explode=explode if isinstance(explode, bool) else UNSET,
        json=is_json(str(encoding.get("contentType", ""))),
    )
