"""YAML as JSON has it, for descriptions: keys are text, no tag builds anything, and folded text is counted unfolded."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from registry.errors import DescriptionRefused

if TYPE_CHECKING:
    from collections.abc import Hashable

MOST_VALUES = 5_000_000
DEEPEST = 64
_FORMS = (
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", "-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    ("float", r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
)


def from_yaml(text: str) -> Any:
    """Raises DescriptionRefused for what is no YAML, for aliases that unfold to too much, and for merge keys."""
    try:
        value = yaml.load(text, _Loader)  # noqa: S506  # a SafeLoader
        _measure(value, {}, 0)
    except (yaml.YAMLError, ValueError) as error:
        raise DescriptionRefused("the description is neither JSON nor YAML") from error
    except RecursionError as error:
        raise DescriptionRefused("the description is nested too deep") from error
    return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where it is built in
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own way


def _map(loader: Any, node: yaml.MappingNode) -> dict[Hashable, Any]:
    found: dict[Hashable, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise DescriptionRefused("the description has a key that is no text")
        if key.value == "<<":  # merges of merges grow without bound while they are read
            raise DescriptionRefused("the description uses YAML's merge keys (<<): write them out, or use JSON")
        found[str(key.value)] = loader.construct_object(value, deep=True)
    return found


def _truth(loader: Any, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() == "true"


for _name, _pattern, _first in _FORMS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)
_Loader.add_constructor("tag:yaml.org,2002:map", _map)
_Loader.add_constructor("tag:yaml.org,2002:bool", _truth)


def _measure(value: Any, known: dict[int, int], depth: int) -> int:
    """How many values there are once every alias is written out (the billion laughs)."""
    if depth > DEEPEST:
        raise RecursionError
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        inner = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_measure(one, known, depth + 1) for one in inner)
    if known[id(value)] > MOST_VALUES:
        raise DescriptionRefused(f"the description has more than {MOST_VALUES} values once its aliases are written out")
    return known[id(value)]
