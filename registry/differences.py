"""What differs between two texts of a definition, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Change:
    """One difference since the last approval: a JSON pointer, and JSON texts (None: was not, or is no longer)."""

    where: str
    before: str | None
    after: str | None

    @property
    def severe(self) -> bool:
        """Whether it changes what a model does, rather than how something looks to a person."""
        return not self.where.startswith(("/title", "/icons", "/annotations/title"))


def changes(before: str | None, after: str | None) -> list[Change]:
    """From one JSON text to another; None stands for no definition at all."""
    old, new = _fields(before), _fields(after)
    places = [*old, *(place for place in new if place not in old)]
    pairs = ((place, old.get(place), new.get(place)) for place in places)
    return [Change(place, one, other) for place, one, other in pairs if one != other]


def _fields(raw: str | None) -> dict[str, str]:
    """Every leaf by its JSON pointer, as JSON text; what is no JSON is one leaf."""
    if raw is None:
        return {}
    try:
        return dict(_leaves(json.loads(raw), ""))
    except (ValueError, RecursionError):
        return {"": json.dumps(raw[:2000])}


def _leaves(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{where}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{where}/{index}")
    else:
        yield where, json.dumps(value, ensure_ascii=False)
