"""From chosen operations to definitions of tools, to be screened, reviewed and pinned like those of any server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from registry.catalogue.assembling import SERVER_WORDS
from registry.errors import DescriptionRefused
from registry.openapi.answers import LARGEST as LARGEST_ANSWER
from registry.openapi.answers import answer_schema, is_json, loose
from registry.openapi.bodies import MEDIA, body, body_schema
from registry.openapi.operations import SHOWN
from registry.openapi.parameters import parameters
from registry.openapi.plan import KEY, Plan
from registry.openapi.reading import plain
from registry.openapi.schemas import TooLarge, fitting
from registry.screening import Described
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.openapi.bodies import Taken
    from registry.openapi.operations import Operation
    from registry.openapi.parameters import Given
    from registry.openapi.reading import Document
    from registry.openapi.schemas import Schema, Writer

LARGEST_INPUT: Final = 24 * 1024  # bytes of JSON: what a model can still be shown of one tool
LONGEST: Final = 2000  # characters of a tool's description
MOST_ACCEPTED: Final = 4


@dataclass(frozen=True, slots=True)
class Drawn:
    """What came of a choice: definitions, and why the rest of it is none."""

    definitions: tuple[Described, ...]
    left: tuple[str, ...]


def draw(document: Document, wanted: Iterable[Operation]) -> Drawn:
    """Raises DescriptionRefused where nothing that is wanted can be a tool."""
    made = [_tool(document, one) for one in wanted]
    tools = [one for one in made if isinstance(one, Described)]
    left = tuple(one for one in made if isinstance(one, str))
    if not tools:
        raise DescriptionRefused(f"nothing that is chosen can be used: {'; '.join(left[:SHOWN])}")
    return Drawn((_words(document), *tools), left)


def _words(document: Document) -> Described:
    """What the API says of itself."""
    info = document.resolved(document.root.get("info"))
    said = {"name": plain(info.get("title"), 100), "description": plain(info.get("description"), LONGEST)}
    return Described(Kind.SERVER, SERVER_WORDS, _encoded({key: value for key, value in said.items() if value}))


def _tool(document: Document, one: Operation) -> Described | str:
    """The definition; or a sentence about why there is none."""
    given, taken = parameters(document, one), body(document, one)
    why = one.unusable or next((each for each in (given, taken) if isinstance(each, str)), "")
    if why or isinstance(given, str) or isinstance(taken, str):
        return f"{one.place}: {why}"
    try:
        schema = fitting(document, lambda writer: _input(writer, given, taken), LARGEST_INPUT)
    except TooLarge:
        return f"{one.place}: what it takes is too large to be shown to a model"
    plan = Plan(
        method=one.method.upper(),
        path=one.path,
        parameters=tuple(each.parameter for each in given),
        body=None if taken is None else taken.body,
        accept=_accepted(document, one),
    )
    return Described(Kind.TOOL, one.name, _encoded(dict(_members(document, one, schema, plan))))


def _members(document: Document, one: Operation, schema: Schema, plan: Plan) -> Iterator[tuple[str, Any]]:
    """In the order in which people read them."""
    yield "name", one.name
    summary = plain(one.own.get("summary"), 100)
    if summary:
        yield "title", summary
    yield "description", _description(one, summary)
    yield "inputSchema", schema
    promised = _output(document, one)
    if promised is not None:
        yield "outputSchema", promised
    yield "annotations", _annotations(one)
    yield "_meta", {KEY: plan}


def _description(one: Operation, summary: str) -> str:
    words = plain(one.own.get("description"), LONGEST) or plain(one.item.get("description"), LONGEST)
    parts = ["Deprecated: it may go away."] if one.own.get("deprecated") is True else []
    if summary and not words.startswith(summary):
        parts.append(summary if summary.endswith((".", "!", "?")) else f"{summary}.")
    return " ".join([*parts, *([words] if words else [])]) or one.place


def _input(writer: Writer, given: list[Given], taken: Taken | None) -> Schema:
    """One object of arguments; what it does not name is refused, so that nothing a caller means is lost in silence."""
    properties: dict[str, Any] = {}
    needed: list[str] = []
    for one in given:
        written = writer.write(one.schema)
        properties[one.parameter.called] = written | ({"description": one.words} if one.words else {})
        if one.parameter.required:
            needed.append(one.parameter.called)
    if taken is not None:
        properties[taken.body.argument] = body_schema(writer, taken)
        needed += [taken.body.argument] if taken.body.required else []
    required = {"required": needed} if needed else {}
    return {"type": "object", "properties": properties, **required, "additionalProperties": False}


def _output(document: Document, one: Operation) -> Schema | None:
    schema = answer_schema(document, one.own.get("responses"))
    if schema is None:
        return None
    try:
        promised: Schema = fitting(document, lambda writer: loose(writer, schema), LARGEST_ANSWER)
    except TooLarge:
        return None
    return promised if promised.get("properties") else None


def _annotations(one: Operation) -> dict[str, Any]:
    """What the method promises (RFC 9110 section 9.2); where it promises nothing, clients expect the worst."""
    method = one.method
    hints: dict[str, Any] = {"readOnlyHint": method == "get", "openWorldHint": True}
    if method in {"get", "put", "delete"}:
        hints["idempotentHint"] = True
    if method in {"put", "delete"}:
        hints["destructiveHint"] = True
    return hints


def _accepted(document: Document, one: Operation) -> tuple[str, ...]:
    """Media types of answers, JSON first."""
    listed = one.own.get("responses")
    kinds: dict[str, None] = {}
    for status, response in listed.items() if isinstance(listed, dict) else ():
        content = document.resolved(response).get("content")
        if str(status).startswith("2") and isinstance(content, dict):
            kinds |= dict.fromkeys(str(kind).partition(";")[0].strip() for kind in content)
    legal = [kind for kind in kinds if MEDIA.fullmatch(kind)]
    return tuple(sorted(legal, key=lambda kind: not is_json(kind))[:MOST_ACCEPTED])


def _encoded(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
