"""Scopes: `mcp` (all that policy allows at this resource), `server.*`, `server.tool`. They only ever narrow."""

from __future__ import annotations

import re

from authz.errors import ScopeRefused

__all__ = [
    "ALL",
    "LIMIT",
    "ScopeRefused",
    "covers",
    "intersect",
    "names_one",
    "parse_scope",
    "scope_for",
    "wider",
    "write_scope",
]

ALL = "mcp"
LIMIT = 32  # in one token
_LONGEST = 200

# A slug, a dot, then a star or a definition's name: a tool's, a prompt's or a URI, in what RFC 6749 section 3.3 allows.
_SCOPE = re.compile(r"mcp|[a-z0-9][a-z0-9_-]{0,63}\.(?:\*|[\x21\x23-\x29\x2b-\x5b\x5d-\x7e]{1,128})")


def parse_scope(text: str) -> frozenset[str]:
    """RFC 6749 section 3.3: a list with single spaces. Raises ScopeRefused for what is not one of ours."""
    if len(text) > LIMIT * _LONGEST:
        raise ScopeRefused("scope: too long")
    scopes = text.split(" ")
    if len(scopes) > LIMIT:
        raise ScopeRefused(f"scope: at most {LIMIT} in a token; ask for `server.*`, or for `mcp`")
    for scope in scopes:
        if _SCOPE.fullmatch(scope) is None:
            raise ScopeRefused("scope: must be `mcp`, `server.*` or `server.tool`")
    return frozenset(scopes)


def names_one(text: str) -> bool:
    """Whether this is a scope for a single thing. What is called otherwise is covered by its server's, or by `mcp`."""
    return text != ALL and not text.endswith(".*") and _SCOPE.fullmatch(text) is not None


def scope_for(name: str) -> str:
    """The narrowest scope that covers `server.name`: its own, or its server's where a scope cannot spell it."""
    return name if names_one(name) else f"{name.partition('.')[0]}.*"


def wider(scopes: frozenset[str], name: str) -> str:
    """What to ask for so that `server.name` is covered as well, in as many scopes as a token may have."""
    more = scopes | {scope_for(name)}
    return write_scope(more) if len(more) <= LIMIT else ALL


def write_scope(scopes: frozenset[str]) -> str:
    """In one order, so that equal sets are equal text."""
    return " ".join(sorted(scopes))


def covers(granted: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether all of `wanted` was granted: the same scope, the whole server, or everything."""
    if ALL in granted:
        return True
    return all(scope in granted or f"{scope.split('.', 1)[0]}.*" in granted for scope in wanted)


def intersect(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """What both allow: every scope of either that the other covers."""
    return frozenset(
        {scope for scope in one if covers(other, frozenset({scope}))}
        | {scope for scope in other if covers(one, frozenset({scope}))}
    )
