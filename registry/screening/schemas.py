"""The form of definitions: what a tool's JSON Schema may hold, and what the protocol asks of each kind.

Nothing remote is ever fetched, nothing recursive is passed on, and a tool with an invalid `x-mcp-header` is dropped
as the protocol demands (SEP-2243).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from registry.catalogue.templates import TemplateError, compile_template
from registry.screening.patterns import danger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Remark = tuple[str, str, str, str]  # severity, rule, where, what

HEADER = "x-mcp-header"
MOST_EXPANDED = 20_000  # schema nodes after every local $ref is written out
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")  # RFC 9110 section 5.6.2
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_DIALECTS = ("https://json-schema.org/", "http://json-schema.org/")
_SECRET = re.compile(r"pass(?:word|phrase)|secret|token|api[_-]?key|credential", re.IGNORECASE)
_ICON = re.compile(r"https://\S+|data:image/(?:png|jpe?g|svg\+xml|webp|gif);base64,[A-Za-z0-9+/=]*")


def check_tool(tool: dict[str, Any]) -> Iterator[Remark]:
    schema = tool.get("inputSchema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "refused", "schema", "/inputSchema", 'must be a JSON Schema object of "type": "object"'
    else:
        yield from _check_schema(schema, "/inputSchema")
        yield from _check_headers(schema)
    output = tool.get("outputSchema")
    if isinstance(output, dict):
        yield from _check_schema(output, "/outputSchema")
    elif output is not None and not isinstance(output, bool):
        yield "refused", "schema", "/outputSchema", "must be a JSON Schema"
    yield from check_schema(tool)


def check_prompt(prompt: dict[str, Any]) -> Iterator[Remark]:
    arguments = prompt.get("arguments", [])
    named = isinstance(arguments, list) and all(isinstance(one, dict) and "name" in one for one in arguments)
    if not named:
        yield "refused", "form", "/arguments", "must be a list of objects with names"
    yield from check_schema(prompt)


def check_template(template: dict[str, Any]) -> Iterator[Remark]:
    try:
        compile_template(str(template.get("uriTemplate", "")))
    except TemplateError as error:
        yield "refused", "uri-template", "/uriTemplate", str(error)
    yield from check_schema(template)


def check_schema(definition: dict[str, Any]) -> Iterator[Remark]:
    """What holds for every kind: icons come over https or are part of the definition."""
    icons = definition.get("icons", [])
    for index, icon in enumerate(icons if isinstance(icons, list) else []):
        source = icon.get("src") if isinstance(icon, dict) else None
        if not isinstance(source, str) or not _ICON.fullmatch(source):
            yield "flagged", "icon", f"/icons/{index}/src", "is neither an https URL nor a picture in base64"


def param_headers(schema: Any) -> dict[str, tuple[str, ...]]:
    """`x-mcp-header` names with the path in the arguments, of a schema that was found valid."""
    return {name: path for name, path, _property in _annotated(schema, ())}


def _check_schema(root: dict[str, Any], where: str) -> Iterator[Remark]:
    schema = _Schema(root)
    for place, node in _nodes(root, where):
        yield from _check_node(node, place, schema)
    try:
        size = schema.expanded(root)
    except RecursionError:
        yield "refused", "recursive-schema", where, "refers to itself"
        return
    if size > MOST_EXPANDED:
        yield (
            "refused",
            "schema-size",
            where,
            f"has more than {MOST_EXPANDED} parts once its references are written out",
        )


def _check_node(node: dict[str, Any], where: str, schema: _Schema) -> Iterator[Remark]:
    for word in _REFERENCES:
        reference = node.get(word)
        if isinstance(reference, str):  # else it is a property of that name
            yield from _check_reference(reference, f"{where}/{word}", schema)
    dialect = node.get("$schema")
    if isinstance(dialect, str) and not dialect.startswith(_DIALECTS):
        yield "flagged", "schema-dialect", f"{where}/$schema", "names a dialect that is not of json-schema.org"
    for pattern in (node.get("pattern"), *_keys(node.get("patternProperties"))):
        why = danger(pattern) if isinstance(pattern, str) else ""
        if why:
            yield "refused", "pattern", f"{where}/pattern", f"holds {why}"


def _check_reference(reference: str, where: str, schema: _Schema) -> Iterator[Remark]:
    if not reference.startswith("#"):
        yield "refused", "remote-ref", where, "refers to something outside the definition"
    elif schema.resolve(reference) is None:
        yield "flagged", "dangling-ref", where, "refers to nothing"


class _Schema:
    """A schema, and what its local references stand for."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._anchors: dict[str, Any] = {}
        self._sizes: dict[int, int | None] = {}  # by identity; None while being measured
        for _place, node in _nodes(root, ""):
            for word in ("$anchor", "$dynamicAnchor"):
                if isinstance(node.get(word), str):
                    self._anchors[node[word]] = node

    def resolve(self, reference: str) -> Any:
        """What a pointer (RFC 6901) or an anchor stands for; None if it stands for nothing."""
        if not reference.startswith("#/"):
            return self._root if reference == "#" else self._anchors.get(reference[1:])
        node: Any = self._root
        for part in reference[2:].split("/"):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                return None
        return node

    def expanded(self, node: Any) -> int:
        """How large `node` is with every reference written out; raises RecursionError if there is no end to it."""
        if isinstance(node, list):
            return sum(map(self.expanded, node))
        if not isinstance(node, dict):
            return 1
        if id(node) not in self._sizes:
            self._sizes[id(node)] = None
            self._sizes[id(node)] = 1 + sum(map(self.expanded, (*node.values(), *self._targets(node))))
        known = self._sizes[id(node)]
        if known is None:
            raise RecursionError
        return known

    def _targets(self, node: dict[str, Any]) -> Iterator[Any]:
        for word in _REFERENCES:
            reference = node.get(word)
            if isinstance(reference, str) and reference.startswith("#"):
                yield self.resolve(reference)


def _check_headers(schema: dict[str, Any]) -> Iterator[Remark]:
    """SEP-2243: a token, unique without regard to case, on plain scalars that a chain of `properties` leads to."""
    seen: set[str] = set()
    for name, path, node in _annotated(schema, ()):
        where = "/inputSchema/" + "/".join(f"properties/{part}" for part in path)
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            yield "refused", HEADER, where, "is not the name of a header"
            continue
        if name.lower() in seen:
            yield "refused", HEADER, where, f"names {name} a second time"
        if node.get("type") not in {"string", "integer", "boolean"}:
            yield "refused", HEADER, where, "is on something that is not a string, an integer or a boolean"
        if _SECRET.search(path[-1]) or _SECRET.search(name):
            yield "flagged", "secret-in-header", where, "would send what looks like a secret in a header"
        seen.add(name.lower())
    reachable = sum(1 for _ in _annotated(schema, ()))
    if sum(HEADER in node for _place, node in _nodes(schema, "")) != reachable:
        yield "refused", HEADER, "/inputSchema", "is where no chain of properties leads"


def _annotated(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, tuple[str, ...], dict[str, Any]]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for key, node in properties.items() if isinstance(properties, dict) else ():
        if isinstance(node, dict):
            if HEADER in node:
                yield node[HEADER], (*path, key), node
            yield from _annotated(node, (*path, key))


def _nodes(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object inside, whatever keyword it hangs on: an unknown keyword must not hide one."""
    if isinstance(value, dict):
        yield where, value
    for key, inner in _inner(value):
        yield from _nodes(inner, f"{where}/{key}")


def _inner(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _keys(value: Any) -> Mapping[str, Any] | tuple[()]:
    return value if isinstance(value, dict) else ()
