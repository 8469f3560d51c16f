"""What a server says when it wants a token, or another one: `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 8 * 1024  # bytes of the header that are looked at
SCOPES_MOST: Final = 64
INSUFFICIENT: Final = "insufficient_scope"

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'[\s,]*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))|({_WORD})(?=[\s,]|$)|[^\s,]+)')
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 6749 section 3.3


@dataclass(frozen=True, slots=True)
class Challenge:
    """Of the Bearer scheme; what was not said is empty. Everything in it is the server's word."""

    error: str = ""
    scopes: tuple[str, ...] = ()
    resource_metadata: str = ""


def read_challenge(header: bytes) -> Challenge:
    """The first Bearer challenge of the header; of a parameter that comes twice, the first."""
    said: dict[str, str] = {}
    bearer = False
    for scheme, name, value in _parts(header[:LONGEST].decode("latin-1")):
        if scheme and bearer:
            break
        bearer = bearer or scheme == "bearer"
        if bearer and name:
            said.setdefault(name, value)
    return Challenge(said.get("error", ""), read_scopes(said.get("scope", "")), said.get("resource_metadata", ""))


def read_scopes(text: str) -> tuple[str, ...]:
    """Each once, in their order. Text that is no list of scopes, or one too long to be meant, has none."""
    scopes = tuple(dict.fromkeys(text.split()))
    if len(scopes) > SCOPES_MOST or not all(_SCOPE.fullmatch(scope) for scope in scopes):
        return ()
    return scopes


def _parts(text: str) -> Iterator[tuple[str, str, str]]:
    """(scheme, "", "") or ("", parameter, value), names in lower case; what is neither is left out."""
    for part in _PART.finditer(text):
        name, quoted, plain, scheme = part.groups()
        if scheme:
            yield scheme.lower(), "", ""
        elif name:
            yield "", name.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
