"""Legal names, names that could be taken for one another, and the names under which clients see things.

An exposed name is `{server}_{name}` in the characters that model APIs accept, at most 64 of them. It is kept in a
table and only ever looked up there: nobody splits it.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from registry.errors import NameRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

LONGEST_EXPOSED = 64
_SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # SEP-986: what a tool's name should be
_NOT_EXPOSABLE = re.compile(r"[^A-Za-z0-9_-]")
_RESERVED = frozenset({"default", "ostiary", "server", "servers", "mcp"})
_LOOKALIKES = str.maketrans({"i": "l", "1": "l", "0": "o", "5": "s", "-": "_", ".": "_"})


def check_slug(slug: str, taken: Iterable[str]) -> None:
    """Raises NameRefused unless `slug` is a legal name for a server that nobody can take for one of `taken`."""
    if not _SLUG.fullmatch(slug) or len(slug) > 32:
        raise NameRefused(f"{slug!r}: a server's name is a to z, 0 to 9 and single hyphens, at most 32, a letter first")
    if slug in _RESERVED:
        raise NameRefused(f"{slug!r} is a word of the gateway itself: choose another name")
    for other in taken:
        if other == slug:
            raise NameRefused(
                f"there is a server {slug!r} already. `ostiary server retire {slug}` frees the name of one that was "
                "never approved; of any other it stays taken"
            )
        if skeleton(other) == skeleton(slug):
            raise NameRefused(f"{slug!r} can be taken for the server {other!r}: choose another name")


def is_legal(name: str) -> bool:
    """Whether a tool or prompt may have this name."""
    return _NAME.fullmatch(name) is not None


def skeleton(name: str) -> str:
    """What is left of a name for a hasty eye: equal skeletons, confusable names (after Unicode TS 39, section 4)."""
    return name.lower().translate(_LOOKALIKES).replace("rn", "m").replace("vv", "w")


def expose(server: str, name: str, taken: Mapping[str, tuple[str, str]]) -> str:
    """The exposed name of `name` at `server`; `taken` maps those in use to (server, name).

    The plain form where it fits; otherwise, or when that is taken, a shortened one with a hash of both parts.
    """
    plain = _NOT_EXPOSABLE.sub("_", f"{server}_{name}")
    if len(plain) <= LONGEST_EXPOSED and taken.get(plain, (server, name)) == (server, name):
        return plain
    for salt in range(64):
        mark = hashlib.sha256(f"{server}\0{name}\0{salt or ''}".encode()).hexdigest()[:8]
        exposed = f"{plain[: LONGEST_EXPOSED - 9]}_{mark}"
        if taken.get(exposed, (server, name)) == (server, name):
            return exposed
    raise NameRefused(f"{server}.{name}: no free name is left for it")


def twins(names: Collection[str]) -> dict[str, str]:
    """Later names that could be taken for an earlier one, with that one. `names` in the order of precedence."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in names:
        other = first.setdefault(skeleton(name), name)
        if other != name:
            found[name] = other
    return found
