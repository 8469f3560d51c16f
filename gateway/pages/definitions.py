"""A definition before its reviewer: in words, as it is, and against what was approved. Hidden characters show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.openapi.plan import plan_of
from registry.reviewing import Status
from registry.screening.hidden import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.differences import Change
    from registry.reviewing import Item

LONGEST = 64 * 1024  # characters of one definition on a page


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool or prompt."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One changed field; `severe` when it changes what a model does."""

    where: str
    before: str
    after: str
    severe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An item of the review with everything that its page shows; all text is fit to be seen, and still text."""

    item: Item
    label: str
    description: str
    arguments: tuple[Argument, ...]
    raw: str
    pinned: str
    differences: tuple[Difference, ...]
    how: str  # the request of an HTTP API that a call of it is; only to be believed of such a server


def shown(item: Item) -> Shown:
    """Reads what the upstream wrote; a definition that cannot be read is shown as it is."""
    described = _decoded(item.raw)
    changes = item.changes() if item.status is Status.CHANGED else []
    return Shown(
        item=item,
        label=visible(item.exposed or item.name),
        description=visible(_text(described.get("description") or described.get("instructions"))),
        arguments=tuple(_arguments(described)),
        raw=_pretty(item.raw),
        pinned=_pretty(item.pinned) if item.pinned else "",
        differences=tuple(_difference(change) for change in changes),
        how=_how(item.raw),
    )


def _how(raw: str) -> str:
    plan = plan_of(raw)
    return "" if plan is None else visible(f"{plan.method} {plan.path}")


def _arguments(described: dict[str, Any]) -> Iterator[Argument]:
    """A tool's from its schema (JSON Schema), a prompt's from its list."""
    schema = described.get("inputSchema")
    if isinstance(schema, dict):
        required = schema.get("required")
        properties = schema.get("properties")
        for name, value in properties.items() if isinstance(properties, dict) else ():
            needed = isinstance(required, list) and name in required
            yield _argument(name, value if isinstance(value, dict) else {}, needed=needed)
    listed = described.get("arguments")
    for value in listed if isinstance(listed, list) else ():
        if isinstance(value, dict):
            yield _argument(_text(value.get("name")), value, needed=value.get("required") is True)


def _argument(name: str, value: dict[str, Any], *, needed: bool) -> Argument:
    kind = value.get("type", "")
    spoken = " or ".join(str(one) for one in kind) if isinstance(kind, list) else str(kind)
    return Argument(visible(name), visible(spoken), needed, visible(_text(value.get("description"))))


def _difference(change: Change) -> Difference:
    return Difference(
        where=visible(change.where) or "(all of it)",
        before="" if change.before is None else _cut(change.before),
        after="" if change.after is None else _cut(change.after),
        severe=change.severe,
    )


def _pretty(raw: str) -> str:
    """Indented, so that it can be read; as it came, if it cannot be."""
    try:
        return _cut(json.dumps(json.loads(raw), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return _cut(raw)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return visible(text)
    return f"{visible(text[:LONGEST])}\n(cut here: {len(text)} characters in all)"


def _decoded(raw: str) -> dict[str, Any]:
    try:
        decoded = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
