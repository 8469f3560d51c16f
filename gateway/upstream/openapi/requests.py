"""From a call to the one request of the API that it is: everything but the credential, which is attached last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.upstream.openapi.forms import content
from gateway.upstream.openapi.styles import Unwritable, check_path, in_cookie, in_header, in_path, in_query

if TYPE_CHECKING:
    from registry.openapi.plan import Parameter, Plan

LONGEST_TARGET: Final = 8000  # bytes; what common servers still take (RFC 9110 section 4.1)
LONGEST_LINES: Final = 16 * 1024
_EXPRESSION: Final = re.compile(r"\{([^{}/]{1,100})\}")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Request(msgspec.Struct, frozen=True, gc=False):
    """What leaves. `lines` is the head below its first lines."""

    method: str
    target: bytes
    lines: bytes
    body: bytes


def write(plan: Plan, base: str, arguments: bytes) -> Request:
    """The request below `base`, the path that was registered. Raises Unwritable; then nothing is sent."""
    given = _given(plan, arguments)
    values = [(one, msgspec.json.decode(given[one.called])) for one in plan.parameters if one.called in given]
    lines = [b"Accept: %b\r\n" % _accept(plan.accept), *_head_lines(values)]
    body = b""
    if plan.body is not None and plan.body.argument in given:
        kind, body = content(plan.body, bytes(given[plan.body.argument]))
        lines.append(b"Content-Type: %b\r\n" % kind.encode("ascii"))
    head = b"".join(lines)
    if len(head) > LONGEST_LINES:
        raise Unwritable("the arguments that go into headers are too long")
    return Request(plan.method, _target(plan, base, values), head, body)


def _given(plan: Plan, arguments: bytes) -> dict[str, msgspec.Raw]:
    """What a caller gave, by argument. Null stands for nothing; what is not known, or lacking, is named."""
    try:
        members = _members.decode(arguments)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unwritable("the arguments are not an object of JSON") from error
    known = plan.arguments()
    unknown = [name for name in members if name not in known]
    if unknown:
        raise Unwritable(f"there is no argument {unknown[0][:80]!r}; there are: {', '.join(known) or 'none'}")
    body = () if plan.body is None else (plan.body.argument,)
    given = {name: raw for name, raw in members.items() if bytes(raw) != b"null" or name in body}
    lacking = [one.called for one in plan.parameters if one.required and one.called not in given]
    if plan.body is not None and plan.body.required and plan.body.argument not in given:
        lacking.append(plan.body.argument)
    if lacking:
        raise Unwritable(f"these arguments are needed: {', '.join(lacking)}")
    return given


def _target(plan: Plan, base: str, values: list[tuple[Parameter, Any]]) -> bytes:
    expanded = {one.name: in_path(one, value) for one, value in values if one.place == "path"}
    path = base.rstrip("/") + _EXPRESSION.sub(lambda found: expanded[found[1]], plan.path)
    check_path(path)
    taken = frozenset(one.name for one in plan.parameters if one.place == "query")
    asked = [(one, value) for one, value in values if one.place == "query"]
    query = "&".join(f"{name}={text}" for one, value in asked for name, text in in_query(one, value, taken))
    target = (f"{path}?{query}" if query else path).encode("ascii")
    if len(target) > LONGEST_TARGET:
        raise Unwritable("the arguments are too long for the address of a request")
    return target


def _head_lines(values: list[tuple[Parameter, Any]]) -> list[bytes]:
    lines = [
        f"{one.name}: {in_header(one, value)}\r\n".encode("ascii") for one, value in values if one.place == "header"
    ]
    cookies = "; ".join(in_cookie(one, value) for one, value in values if one.place == "cookie")
    return [*lines, f"Cookie: {cookies}\r\n".encode("ascii")] if cookies else lines


def _accept(kinds: tuple[str, ...]) -> bytes:
    """What the API says that it answers in, in its order, and then whatever it has."""
    named = [kind if place == 0 else f"{kind};q=0.{9 - place}" for place, kind in enumerate(kinds[:8])]
    return ", ".join([*(named or ["application/json"]), "*/*;q=0.1"]).encode("ascii")
