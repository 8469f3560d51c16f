"""Parameters of an operation: which of them a caller may give, under which names, and how each is written."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from msgspec import UNSET, structs

from registry.credentials.placing import NOT_OURS_TO_SET
from registry.openapi.answers import is_json
from registry.openapi.operations import expressions
from registry.openapi.plan import Parameter
from registry.openapi.reading import plain
from registry.screening.hidden import hidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.openapi.operations import Operation
    from registry.openapi.reading import Document

MOST: Final = 100
BODY: Final = "body"  # the argument that is the content
STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
# Besides those of the transport: what says who asks, for whom, or where to, is never a caller's to say (T-48).
_RESERVED: Final = frozenset(
    {"authorization", "cookie", "set-cookie", "proxy-authorization", "www-authenticate", "forwarded", "via", "origin"}
    | {
        "referer",
        "user-agent",
        "date",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x-original-url",
    }
    | {"x-rewrite-url", "x-real-ip", "content-location", "host"}
)
_RESERVED_PREFIXES: Final = ("x-forwarded-", "mcp-", "sec-", "proxy-", "x-amz-", "cf-", "content-")
_NOT_ARGUMENT: Final = re.compile(r"[^A-Za-z0-9_.-]+")  # model APIs take no other names of arguments
LONGEST_ARGUMENT: Final = 48
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_COOKIE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")


@dataclass(frozen=True, slots=True)
class Given:
    """A parameter, the schema of its value, and what is said of it."""

    parameter: Parameter
    schema: Any
    words: str


def is_settable(header: str) -> bool:
    """Whether a caller may say what this header holds."""
    name = header.lower()
    reserved = name in _RESERVED or name.encode() in NOT_OURS_TO_SET or name.startswith(_RESERVED_PREFIXES)
    return not reserved and _TOKEN.fullmatch(header) is not None


def parameters(document: Document, operation: Operation) -> list[Given] | str:
    """Those of the operation and of its path; or why it cannot be called."""
    listed = list(_listed(document, operation))
    if len(listed) > MOST:
        return f"it has more than {MOST} parameters"
    keys = _api_keys(document)
    found: dict[tuple[str, str], Given] = {}
    for one in listed:
        made = _given(one)
        if made is not None and (made.parameter.place, made.parameter.name.lower()) not in keys:
            found[made.parameter.place, made.parameter.name] = made
        elif one.get("required") is True and one.get("in") != "header" and made is None:
            return f"it needs the parameter {plain(one.get('name'), 60)!r}, which cannot be written"
    lacking = [name for name in expressions(operation.path) if ("path", name) not in found]
    if lacking:
        return f"its path has {{{plain(lacking[0], 60)}}}, which no parameter describes"
    named = set(expressions(operation.path))
    return _apart([one for (place, name), one in found.items() if place != "path" or name in named])


def _listed(document: Document, operation: Operation) -> Iterator[dict[str, Any]]:
    """Those of the path first: what an operation says of the same parameter stands over them."""
    for level in (operation.item, operation.own):
        values = level.get("parameters")
        for value in values if isinstance(values, list) else ():
            yield document.resolved(value)


def _given(one: dict[str, Any]) -> Given | None:
    """None for what nobody may say, or what cannot be written."""
    name, place = one.get("name"), one.get("in")
    if not isinstance(name, str) or not isinstance(place, str) or not _may_be_given(name, place):
        return None
    content = one.get("content")
    schema, as_json = one.get("schema"), False
    if isinstance(content, dict) and content:
        kind, media = next(iter(content.items()))
        schema, as_json = media.get("schema") if isinstance(media, dict) else None, is_json(str(kind))
    style = one.get("style")
    if style not in STYLES[place]:
        style = ""
    explode = one.get("explode")
    made = Parameter(
        name=name,
        place=place,
        style="" if style == STYLES[place][0] else str(style or ""),
        explode=explode if isinstance(explode, bool) else UNSET,
        required=one.get("required") is True or place == "path",
        reserved=one.get("allowReserved") is True and place == "query",
        json=as_json,
        segments=place == "path" and (one.get("x-multi-segment") is True or one.get("allowReserved") is True),
    )
    return Given(made, schema, plain(one.get("description"), 600))


def _may_be_given(name: str, place: str) -> bool:
    if place not in STYLES or not name or len(name) > 128 or any(True for _ in hidden(name)):
        return False
    if place == "header":
        return is_settable(name)
    return place != "cookie" or _COOKIE.fullmatch(name) is not None


def _api_keys(document: Document) -> set[tuple[str, str]]:
    """Where the description wants secrets: they are ours to send, and nobody else's."""
    schemes = document.resolved(document.root.get("components")).get("securitySchemes")
    found: set[tuple[str, str]] = set()
    for value in schemes.values() if isinstance(schemes, dict) else ():
        scheme = document.resolved(value)
        if scheme.get("type") == "apiKey":
            found.add((str(scheme.get("in")), str(scheme.get("name")).lower()))
    return found


def _apart(given: list[Given]) -> list[Given]:
    """Each under a name that model APIs take and that is its own: the same in two places becomes two arguments."""
    plain = [_argument(one.parameter.name) for one in given]
    often = Counter([*plain, BODY])
    taken = {BODY}
    found: list[Given] = []
    for one, name in zip(given, plain, strict=True):
        argument = f"{name}_{one.parameter.place}" if often[name] > 1 else name
        while argument in taken:
            argument += "_"
        taken.add(argument)
        found.append(_called(one, argument))
    return found


def _argument(name: str) -> str:
    return _NOT_ARGUMENT.sub("_", name).strip("_")[:LONGEST_ARGUMENT] or "argument"


def _called(one: Given, argument: str) -> Given:
    if argument == one.parameter.name:
        return one
    return Given(structs.replace(one.parameter, argument=argument), one.schema, one.words)
