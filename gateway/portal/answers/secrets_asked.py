"""Whether a form asks for a secret: a password, a key, a token, the number of a card.

MCP forbids it ("Servers MUST NOT use form mode elicitation to request sensitive information such as passwords, API
keys, access tokens, or payment credentials"). Looked at are the fields that somebody can type into: name, title,
format, and what the words around them ask for; as it is written, and as it is read where letters only look alike. Who
means to hide it can; what is meant honestly, copied, or dressed up is found.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from registry.screening.hidden import bare
from registry.screening.lookalikes import read_as

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICKED: Final = "boolean"  # what is neither this nor a list to choose from may be typed into, known or not
_PARTS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^\w]+|_+")

_ANYWHERE: Final = (
    r"pass ?(?:word|phrase|code|wd)s?|pwd|secrets?|credentials?"
    r"|(?:api|private|secret|access|signing|encryption|ssh|account) keys?"
    r"|apikeys?|(?:auth|access|bearer|refresh|session|id|api|security|personal access|app|bot)[ -]?tokens?|jwt|otp|totp"
    r"|(?:one time|verification|security|recovery|backup|authentication|2fa|mfa|login) codes?|mfa|2fa"
    r"|seed phrase|mnemonic"
    r"|cvv2?|cvc2?|(?:credit |debit |bank )?card (?:number|no)|(?:credit|debit) card|iban|social security number|ssn"
    r"|passw[oö]rt|kennwort|geheimnis|zugangsdaten|mot de passe|contrase[nñ]a|senha|parola d ordine|wachtwoord|lösenord"
    r"|пароль|密码|密碼|口令|パスワード|비밀번호|كلمة المرور"
)
_ALONE: Final = r"token|pin|bearer|cookie"  # as the whole name of a field, or with one word before it
_FIELD: Final = re.compile(rf"(?:^|\W)(?:{_ANYWHERE})(?:\W|$)|^(?:\w+ )?(?:{_ALONE})(?: code| number)?$")
_ASKED_FOR: Final = re.compile(
    r"\b(?:enter|type|give|provide|paste|send|share|supply|input|submit|confirm|tell|what is|what's|need|require[sd]?)"
    r"\b"
    rf"[^.!?]{{0,60}}?(?:^|\W)(?:{_ANYWHERE}|tokens?)(?:\W|$)"
)
_NUMBERED: Final = frozenset(("number", "integer"))
_SPACED: Final = re.compile(r"\b(?:\w[ ._*-]){3,}\w\b")  # p a s s w o r d
_COUNTS: Final = re.compile(r"^(?:max|min|total|number of|num)\b|tokens$")


def secret_in(asked: dict[str, Any]) -> str:
    """The words that ask for one; empty when nothing does."""
    schema = asked.get("requestedSchema")
    found = next((name for name, field in _fields(schema) if _is_secret(name, field)), "")
    if found:
        return found[:64]
    typed = any(_kind(field) not in _NUMBERED for _, field in _fields(schema))
    return _asked_for(asked.get("message")) if typed else ""


def _fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields that are typed into, wherever they stand; a box to tick and a list to choose from hold no secret."""
    if isinstance(schema, list):
        for one in schema:
            yield from _fields(one)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        for name, field in properties.items() if isinstance(properties, dict) else ():
            if isinstance(field, dict) and _is_typed(field):
                yield name, field
        for inner in schema.values():
            yield from _fields(inner)


def _is_typed(field: dict[str, Any]) -> bool:
    return _kind(field) != _TICKED and not _is_chosen(field) and not _is_chosen(field.get("items"))


def _is_chosen(field: Any) -> bool:
    """Whether somebody picks one of what is written there. What lists nothing is shown as a field like any other."""
    if not isinstance(field, dict):
        return False
    if isinstance(field.get("const"), str) or _has(field.get("enum"), str):
        return True
    lists = (field[word] for word in ("oneOf", "anyOf") if _has(field.get(word), dict))
    return any(all("const" in choice for choice in listed) for listed in lists)


def _has(values: Any, kind: type) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(one, kind) for one in values)


def _kind(field: dict[str, Any]) -> str | None:
    """What may be typed in; of several kinds, or of none that is known, anything."""
    kind = field.get("type")
    return kind if isinstance(kind, str) else None


def _is_secret(name: str, field: dict[str, Any]) -> bool:
    if _plain(field.get("format")) == "password" or field.get("writeOnly") is True:
        return True
    named = (words for text in (name, field.get("title")) for words in _words(text))
    return any(_names_secret(words, field) for words in named) or bool(_asked_for(field.get("description")))


def _asked_for(text: Any) -> str:
    found = (_ASKED_FOR.search(reading.casefold().replace("_", " ")) for reading in _readings(text))
    return next((words[0].strip()[:64] for words in found if words), "")


def _names_secret(words: str, field: dict[str, Any]) -> bool:
    if _kind(field) in _NUMBERED and _COUNTS.search(words):
        return False
    return bool(_FIELD.search(words))


def _words(text: Any) -> list[str]:
    """`accessToken`, `ACCESS_TOKEN` and "Access-Token" are the same two words; in each reading of the text."""
    return [" ".join(part for part in _PARTS.split(reading) if part).casefold() for reading in _readings(text)]


def _plain(text: Any) -> str:
    return _folded(text).casefold()


def _folded(text: Any) -> str:
    """Without what only looks different, or is not seen at all."""
    return bare(unicodedata.normalize("NFKC", text if isinstance(text, str) else ""))


def _readings(text: Any) -> tuple[str, ...]:
    """As it is written; and as it is read, where letters that look alike or stand apart make another word of it."""
    written = _folded(text)
    read = _SPACED.sub(lambda apart: re.sub(r"[ ._*-]", "", apart[0]), read_as(written))
    return (written,) if read == written.casefold() else (written, read)
