"""What an API's no means, so that whoever called can do something about it.

The API's own words stay behind: they are for its own clients, and often hold more than anybody meant to say (T-74).
What is told is its status, which of the arguments it names, and words that are codes.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from registry.openapi.answers import is_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.egress.reply import Reply

MOST_NAMED: Final = 12
LARGEST: Final = 256 * 1024  # bytes of an answer that is looked through
_VALUES: Final = 2000
_CODE: Final = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*")
_CODES: Final = frozenset({"code", "type", "error", "reason", "errorcode", "error_code", "status", "rule", "keyword"})
_WORD: Final = re.compile(r"[A-Za-z0-9_$-]+")
_WHAT_TO_DO: Final = {
    400: "Correct the arguments and call again.",
    403: "The account that is used there may not do this.",
    404: "There is no such thing, or the account that is used there may not see it.",
    405: "Its description is out of date; an administrator should refresh it.",
    406: "Its description is out of date; an administrator should refresh it.",
    409: "It is in a state that does not allow this; look at it first.",
    410: "It is gone for good.",
    412: "It has changed in between; look at it first.",
    413: "Send less.",
    415: "Its description is out of date; an administrator should refresh it.",
    422: "Correct the arguments and call again.",
}


def sentence(reply: Reply, known: frozenset[str]) -> str:
    """`known` are names of arguments, and of what is inside them."""
    parts = [f"The API refused this with HTTP {reply.status}{_phrase(reply.status)}."]
    names, codes = _named(reply, known)
    if names:
        parts.append(f"Its answer names: {', '.join(names)}.")
    if codes:
        parts.append(f"Its codes: {', '.join(codes)}.")
    parts.append(_WHAT_TO_DO.get(reply.status, "Calling again as it is will not help."))
    return " ".join(parts)


def _phrase(status: int) -> str:
    try:
        return f" ({HTTPStatus(status).phrase})"
    except ValueError:
        return ""


def _named(reply: Reply, known: frozenset[str]) -> tuple[list[str], list[str]]:
    if not is_json(reply.content_type.decode("latin-1")) or reply.received > LARGEST:
        return [], []
    try:
        said = msgspec.json.decode(reply.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [], []
    names: dict[str, None] = {}
    codes: dict[str, None] = {}
    for count, (key, text) in enumerate(_texts(said, "", 0)):
        if count > _VALUES:
            break
        names |= dict.fromkeys(word for word in _WORD.findall(text) if word in known)
        if key.lower() in _CODES and len(text) <= 48 and _CODE.fullmatch(text):
            codes[text] = None
    return list(names)[:MOST_NAMED], list(codes)[:MOST_NAMED]


def _texts(value: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    """Every text with the name it goes by; and names themselves, for many an API writes `{"title": ["…"]}`."""
    if isinstance(value, str):
        yield key, value[:1000]
    elif isinstance(value, dict) and depth < 8:
        for name, inner in value.items():
            yield "", name[:1000]
            yield from _texts(inner, name, depth + 1)
    elif isinstance(value, list) and depth < 8:
        for inner in value:
            yield from _texts(inner, key, depth + 1)
