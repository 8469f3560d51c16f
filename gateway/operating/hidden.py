"""What was approved and is offered to nobody, because its server says something else now, or lists it no more."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from sqlmodel import col, or_, select

from registry.declaring import COMMAND
from registry.tables import Definition, Kind, Pin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlmodel import Session

ANOTHER_WAY: Final = "it is to be run in another way, and nothing of it is offered until that is approved"


def hidden(session: Session, slug: str = "") -> dict[str, str]:
    """A sentence for each server of which something is hidden."""
    return {server: _sentence(what) for server, what in _what(session, slug).items()}


def many_hidden(session: Session) -> dict[str, int]:
    """How many of each server."""
    return {server: len(what) for server, what in _what(session, "").items()}


def _what(session: Session, slug: str) -> dict[str, list[str]]:
    same = (col(Definition.server) == Pin.server) & (col(Definition.kind) == Pin.kind)
    query = select(Pin.server, Pin.kind, Pin.name, Definition.missing)
    query = query.join(Definition, same & (col(Definition.name) == Pin.name))
    query = query.where(or_(col(Definition.missing), Definition.digest != Pin.digest))
    if slug:
        query = query.where(Pin.server == slug)
    found: dict[str, list[str]] = {}
    for server, kind, name, missing in session.exec(query):
        run = (kind, name) == (Kind.SERVER, COMMAND)
        found.setdefault(server, []).append(ANOTHER_WAY if run else "gone" if missing else "changed")
    return found


def look(slug: str) -> str:
    """What to do about it."""
    return f"`ostiary server diff {slug}` shows it, `ostiary server approve {slug}` offers it as it is now"


def _sentence(what: Iterable[str]) -> str:
    counts = Counter(what)
    if counts[ANOTHER_WAY]:
        return ANOTHER_WAY
    said = ((counts["changed"], "changed since"), (counts["gone"], "are listed no more since"))
    told = " and ".join(f"{count} of its definitions {how}" for count, how in said if count)
    return f"{told} they were approved, and are offered to nobody"
