"""Characters that a person does not see, or sees elsewhere than they stand, and a model reads all the same."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_MARKS = 4  # combining marks on one letter; living scripts need three
_PLAIN = re.compile(r"[\x20-\x7e\n\r\t]*")
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u2028\u2029")
_CATEGORIES = {
    "Cc": "control character",
    "Cf": "invisible format character",
    "Co": "private-use character",
    "Cs": "lone surrogate",
    "Cn": "unassigned character",
}
_EMOJI_STYLE = "\ufe0f"


def hidden(text: str) -> Iterator[str]:
    """What is hidden in `text`, one description for each kind of it (M-51, T-65)."""
    if _PLAIN.fullmatch(text):
        return
    seen: set[str] = set()
    marks = 0
    before = ""
    for char in text:
        kind = "" if _is_emoji_style(char, before) else _kind(char)
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        if marks > MOST_MARKS:
            kind = "pile of combining marks"
        if kind and kind not in seen:
            seen.add(kind)
            yield f"{kind} U+{ord(char):04X}"
        before = char


def visible(text: str) -> str:
    """`text` with everything hidden written out, for a reviewer to see."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(char if _PLAIN.fullmatch(char) or not _kind(char) else f"\\u{{{ord(char):x}}}" for char in text)


def bare(text: str) -> str:
    """`text` without everything hidden: as it is seen."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(char for char in text if not _kind(char))


@cache
def _kind(char: str) -> str:
    point = ord(char)
    if char in "\t\n\r":
        return ""
    if 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF or 0x180B <= point <= 0x180F:
        return "variation selector"
    if 0xE0000 <= point <= 0xE007F:
        return "tag character"
    if char in _INVISIBLE:
        return "invisible character"
    if point in {0x200E, 0x200F, 0x061C} or 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069:
        return "direction control"
    return _CATEGORIES.get(unicodedata.category(char), "")


def _is_emoji_style(char: str, before: str) -> bool:
    """U+FE0F after a symbol asks for its colourful form and can carry nothing else; people do write it."""
    return char == _EMOJI_STYLE and bool(before) and unicodedata.category(before) == "So"
