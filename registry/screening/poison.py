"""Text in definitions that speaks to a model behind the person's back (M-48; OWASP MCP03, tool poisoning).

Phrases, not understanding: one clear sign flags a text, and so do two faint ones. It is a help for the person who
approves, who sees the text itself as well; no promise rests on it. Every gap in a pattern is bounded, and so is the
text, so the time this takes is too.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from registry.screening.phrases import CLEAR, FAINT, FOREIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEMBERED = 2000  # characters of a text up to which it is remembered what was found in it
_PADDING = re.compile(r"[ \t\u00a0]{60,}|(?:[ \t]*\n){14,}|([.\-_*=#])\1{119,}")
_BLOB = re.compile(r"[A-Za-z0-9+/]{32,}={0,2}")
_SPACED = re.compile(r"(?:\b[A-Za-z][ .\-_*]){9,}[A-Za-z]\b")
_WORD = re.compile(r"[^\W\d_]{3,}")
_LEET = str.maketrans("013457@$", "oleastas")


def _either(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


_CLEAR_COMPILED = {rule: _either(patterns) for rule, patterns in CLEAR.items()} | {
    "concealment-foreign": _either(FOREIGN)
}
_FAINT_COMPILED = [re.compile(pattern) for pattern in FAINT]
_ALL = tuple(_CLEAR_COMPILED.values())
_SAYS = {
    "imperative-tag": "is marked up as an order to the model",
    "concealment": "asks to keep something from the person",
    "concealment-foreign": "asks to keep something from the person, or to ignore orders, in another language",
    "override": "claims to stand over other instructions or approvals",
    "other-tools": "tries to steer when or how other tools are used",
    "exfiltration": "asks for private data to be handed over",
}


def suspicious(text: str) -> tuple[tuple[str, str], ...]:
    """(rule, sentence) for everything in `text` that a person should look at twice."""
    if len(text) < 12:
        return ()
    return _remembered(text) if len(text) <= REMEMBERED else tuple(_signs(text))


@lru_cache(maxsize=2048)  # a server says the same of the same argument of a hundred tools
def _remembered(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(_signs(text))


def _signs(text: str) -> Iterator[tuple[str, str]]:
    plain = _plain(text)
    found = [rule for rule, pattern in _CLEAR_COMPILED.items() if pattern.search(plain)]
    yield from ((rule, _SAYS[rule]) for rule in found)
    if not found and sum(pattern.search(plain) is not None for pattern in _FAINT_COMPILED) >= 2:
        yield "several-signs", "has several faint signs of an order to the model"
    yield from _disguised(text, plain)


def suspicious_together(first: str, second: str) -> bool:
    """Whether two texts that are harmless alone are an order when read on."""
    if suspicious(first) or suspicious(second):
        return False  # each is found alone
    return bool(suspicious(f"{first[-600:]} {second[:600]}"))


def _disguised(text: str, plain: str) -> Iterator[tuple[str, str]]:
    if _PADDING.search(text):
        yield "padding", "is padded so that its end is out of sight"
    if not text.isascii() and any(_mixed(word) for word in _WORD.findall(text)):
        yield "mixed-scripts", "mixes alphabets inside one word"
    if any(_says_something(_decoded(blob)) for blob in _BLOB.findall(text)[:16]):
        yield "encoded", "hides readable text in base64"
    squeezed = (re.sub(r"[ .\-_*]", "", found).lower() for found in _SPACED.findall(text)[:16])
    if any(re.search(r"ignore|instruction|secret|password|system|donot|user", one) for one in squeezed):
        yield "spelled-out", "spells words out letter by letter"
    if _is_leet(plain):
        yield "spelled-out", "writes words with digits"


def _is_leet(plain: str) -> bool:
    if not any(char in plain for char in "013457@$") or any(pattern.search(plain) for pattern in _ALL):
        return False
    spelled = plain.translate(_LEET)
    return any(_CLEAR_COMPILED[rule].search(spelled) for rule in ("override", "concealment"))


def _plain(text: str) -> str:
    """Compatibility characters, case, emphasis and layout taken away: what is left is what it says."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    folded = re.sub(r"\b(?:never|not|don't|cannot|unless)\b[^.]{0,80}\bwithout\b", " ", folded)  # asks for the contrary
    return re.sub(r"\s+", " ", re.sub(r"[*`\"]+|(?<!\w)_+|_+(?!\w)", "", folded))


def _mixed(word: str) -> bool:
    scripts = {unicodedata.name(char, "").split(" ")[0] for char in word if not char.isascii() or char.isalpha()}
    return len(scripts & {"LATIN", "CYRILLIC", "GREEK", "FULLWIDTH", "MATHEMATICAL"}) > 1


def _decoded(blob: str) -> str:
    try:
        return base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _says_something(text: str) -> bool:
    letters = sum(char.isalpha() or char == " " for char in text)
    return len(text) > 20 and letters > 0.85 * len(text) and text.count(" ") >= 3
