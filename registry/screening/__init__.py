"""Screening of a definition before a person is asked to approve it.

A finding is `refused` (cannot be approved at all) or `flagged` (approved only by saying so a second time). Findings
only ever add refusals: what protects is that nothing unapproved is usable, not that everything bad is recognised.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from registry.catalogue.naming import is_legal
from registry.digests import digest, parse
from registry.errors import DefinitionRefused
from registry.screening.hidden import hidden, visible
from registry.screening.poison import suspicious, suspicious_together
from registry.screening.schemas import Remark, check_prompt, check_schema, check_template, check_tool
from registry.tables import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

LONGEST_TEXT = 16 * 1024  # characters of one text: more is not read by the person who approves it
MOST_TEXT = 64 * 1024  # characters that are read for phrases in one definition, so that its cost is bounded
LONGEST_URI = 2048
MOST_NODES = 20_000


@dataclass(frozen=True, slots=True)
class Described:
    """One definition as the server gave it; `raw` is its JSON, byte-true."""

    kind: Kind
    name: str
    raw: str


class Severity(StrEnum):
    REFUSED = "refused"
    FLAGGED = "flagged"


@dataclass(frozen=True, slots=True)
class Finding:
    """`rule` is a machine word, `where` a JSON pointer into the definition, `what` a sentence without raw text."""

    severity: Severity
    rule: str
    where: str
    what: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Screened:
    digest: str
    findings: tuple[Finding, ...]


def refused(rule: str, what: str, where: str = "") -> Finding:
    return Finding(Severity.REFUSED, rule, where, what)


def flagged(rule: str, what: str, where: str = "") -> Finding:
    return Finding(Severity.FLAGGED, rule, where, what)


def screen(kind: Kind, name: str, raw: str) -> Screened:
    """The digest of a definition, and everything that is to be said about it."""
    try:
        value = parse(raw)
        nodes = list(_walk(value))
        _check_size(nodes)
        found = digest(kind, value)
    except DefinitionRefused as error:
        unread = hashlib.sha256(f"{kind}\nunread\n{raw}".encode(errors="surrogatepass")).hexdigest()
        return Screened(unread, (refused("form", str(error)),))
    return Screened(found, tuple(_findings(kind, name, value, nodes)))


def reads_on(one: Described, other: Described) -> bool:
    """Whether two descriptions are an instruction only where one follows the other."""
    first, second = _description(one), _description(other)
    return bool(first and second and suspicious_together(first, second))


def screen_together(
    seen: Sequence[Described],
    touched: Collection[tuple[str, str]],
    pair: Callable[[Described, Described], bool] = reads_on,
) -> Iterator[tuple[tuple[str, str], Finding]]:
    """What only shows when neighbouring descriptions are read in one go, as a model does; for those `touched`."""
    for one, other in pairwise(seen):
        keys = [key for key in ((str(one.kind), one.name), (str(other.kind), other.name)) if key in touched]
        if keys and pair(one, other):
            finding = flagged("split-text", "reads like an instruction together with its neighbour", "/description")
            yield from ((key, finding) for key in keys)


def _findings(kind: Kind, name: str, value: dict[str, Any], nodes: list[tuple[str, Any]]) -> Iterator[Finding]:
    yield from _check_name(kind, name, value)
    left = MOST_TEXT
    for where, text in nodes:
        if isinstance(text, str):
            yield from _check_text(where, text, left)
            left -= len(text)
    if left < 0:
        yield flagged("long-text", f"holds more than {MOST_TEXT} characters in all: nobody reads that")
    for severity, rule, where, what in _form(kind)(value):
        yield Finding(Severity(severity), rule, where, what)


def _form(kind: Kind) -> Callable[[dict[str, Any]], Iterator[Remark]]:
    return {Kind.TOOL: check_tool, Kind.PROMPT: check_prompt, Kind.TEMPLATE: check_template}.get(kind, check_schema)


def _check_name(kind: Kind, name: str, value: dict[str, Any]) -> Iterator[Finding]:
    if kind in {Kind.TOOL, Kind.PROMPT} and not is_legal(name):
        yield refused("name", f"the name {visible(name)[:80]!r} is not 1 to 128 of A-Z a-z 0-9 _ - .", "/name")
    if kind in {Kind.RESOURCE, Kind.TEMPLATE} and (len(name) > LONGEST_URI or not name.isascii() or " " in name):
        yield refused("uri", f"the URI is not ASCII without spaces, at most {LONGEST_URI} characters", "/uri")
    if kind != Kind.SERVER and "name" in value and not isinstance(value["name"], str):
        yield refused("name", "the name is no text", "/name")


def _check_text(where: str, text: str, left: int) -> Iterator[Finding]:
    for what in hidden(text):
        yield refused("hidden-characters", f"holds a {what}", where)
    if len(text) > LONGEST_TEXT:
        yield flagged("long-text", f"is {len(text)} characters long: nobody reads that to the end", where)
    for rule, what in suspicious(text[: max(0, min(left, LONGEST_TEXT))]):
        yield flagged(rule, what, where)


def _check_size(nodes: list[tuple[str, Any]]) -> None:
    if len(nodes) > MOST_NODES:
        raise DefinitionRefused(f"has more than {MOST_NODES} values")


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its JSON pointer; the keys of objects too, because a model reads them as well."""
    yield where, value
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{where}/{visible(key)[:60].replace('~', '~0').replace('/', '~1')}"
            yield place, key
            yield from _walk(inner, place)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, f"{where}/{index}")


def _description(one: Described) -> str:
    if one.kind != Kind.TOOL:
        return ""
    try:
        text = parse(one.raw).get("description", "")
    except DefinitionRefused:
        return ""
    return text[:LONGEST_TEXT] if isinstance(text, str) else ""
