"""What a server says when it wants a token, or another one: `WWW-Authenticate` (RFC 9110 section 11.6.1).

A token goes by one of two schemes: Bearer (RFC 6750), and DPoP for one that is bound to a key (RFC 9449 section 7.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST: Final = 8 * 1024  # bytes of the header that are looked at
SCOPES_MOST: Final = 64
INSUFFICIENT: Final = "insufficient_scope"
BEARER: Final = "bearer"
DPOP: Final = "dpop"
UNSAID: Final = ("ES256",)  # what a server that takes proofs, and does not say of which algorithms, will take

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'[\s,]*(?:({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))|({_WORD})(?=[\s,]|$)|[^\s,]+)')
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")  # RFC 6749 section 3.3


@dataclass(frozen=True, slots=True)
class Challenge:
    """What was not said is empty. Everything in it is the server's word. `proofs` are the algorithms of proofs that
    the server takes, where it takes any.
    """

    error: str = ""
    scopes: tuple[str, ...] = ()
    resource_metadata: str = ""
    proofs: tuple[str, ...] = ()


def read_challenge(header: bytes) -> Challenge:
    """The first Bearer challenge of the header, and what the first DPoP challenge says besides."""
    schemes = _first_of_each(header)
    proving = schemes.get(DPOP)
    said = (proving or {}) | schemes.get(BEARER, {})
    return Challenge(
        error=said.get("error", ""),
        scopes=read_scopes(said.get("scope", "")),
        resource_metadata=said.get("resource_metadata", ""),
        proofs=() if proving is None else tuple(proving.get("algs", "").split()) or UNSAID,
    )


def _first_of_each(header: bytes) -> dict[str, dict[str, str]]:
    """The parameters of the first challenge of each scheme; of a parameter that comes twice, the first."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for scheme, name, value in _parts(header[:LONGEST].decode("latin-1")):
        if scheme:
            current = {}
            found.setdefault(scheme, current)
        elif name:
            current.setdefault(name, value)
    return found


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
