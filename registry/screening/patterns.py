"""Regular expressions in schemas that a backtracking engine, in some client, would never finish with.

What is looked for is a repetition whose body can be split in more than one way: `(a+)+`, `(a|a)*`, `(.*a){20}`.
A body that starts over at a character found nowhere else in it, like `(-[a-z]+)*`, cannot.
"""

from __future__ import annotations

import re._parser as sre  # type: ignore[import-not-found]  # the one way to the parsed form, in every Python from 3.11
import warnings
from itertools import pairwise
from re import error as PatternError  # noqa: N812
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST = 1024
MANY = 10  # repetitions from which on a body that splits in many ways is too dear
_EVERY = frozenset(range(128)) | {-1}  # -1 stands for all that is not ASCII
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT"}


def danger(pattern: str) -> str:
    """Why `pattern` is not to be passed on to anybody, or an empty string."""
    if len(pattern) > LONGEST:
        return f"a pattern longer than {LONGEST} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # what a later Python may read otherwise is no news to us
            tree = sre.parse(pattern)
    except (PatternError, RecursionError, OverflowError):
        return ""  # another dialect, or none: it cannot be judged, and cannot be run by what reads this one
    return "a pattern that can take for ever to match" if _explodes(list(tree)) else ""


def _explodes(items: list[Any]) -> bool:
    return any(_item_explodes(name, argument) for name, argument in _named(items)) or _long_run(items)


def _item_explodes(name: str, argument: Any) -> bool:
    if name in _REPEATS:
        _least, most, body = argument
        return (most >= MANY and _splits_in_many_ways(list(body))) or _explodes(list(body))
    return any(_explodes(list(body)) for body in _bodies(name, argument))


def _splits_in_many_ways(body: list[Any]) -> bool:
    while len(body) == 1 and str(body[0][0]) == "SUBPATTERN":
        body = list(body[0][1][-1])
    branches = [list(branch) for name, argument in _named(body) if name == "BRANCH" for branch in argument[1]]
    if any(str(a) == str(b) for i, a in enumerate(branches) for b in branches[:i]) or _same_neighbours(body):
        return True
    loose = [item for item in (*body, *(item for branch in branches for item in branch)) if _is_loose(item)]
    overlap = any(_start(a) & _start(b) for i, a in enumerate(branches) for b in branches[:i])
    return (overlap or bool(loose)) and not _has_fence(body, loose)


def _same_neighbours(items: list[Any]) -> bool:
    """Two repetitions side by side, or deeper inside, between which a character may go to either."""
    if any(_is_loose(a) and _is_loose(b) and _characters([a]) & _characters([b]) for a, b in pairwise(items)):
        return True
    return any(_same_neighbours(list(body)) for name, argument in _named(items) for body in _bodies(name, argument))


def _is_loose(item: Any) -> bool:
    """Whether the item matches strings of different lengths."""
    name = str(item[0])
    if name in _REPEATS and int(item[1][0]) != int(item[1][1]):
        return True
    if name == "BRANCH" and len({len(branch) for branch in item[1][1]}) > 1:
        return True
    return any(_is_loose(inner) for body in _bodies(name, item[1]) for inner in body)


def _has_fence(body: list[Any], loose: list[Any]) -> bool:
    """Whether one item, always there and of one length, has no character in common with the loose ones."""
    roaming = frozenset().union(*(_characters([item]) for item in loose))
    fixed = [item for item in body if str(item[0]) in {"LITERAL", "NOT_LITERAL", "IN", "ANY"}]
    return any(not (_characters([item]) & roaming) for item in fixed)


def _long_run(items: list[Any]) -> bool:
    """Three or more unbounded repetitions in a row over the same characters: cubic, and worse with each one more."""
    run = 0
    shared = _EVERY
    for item in items:
        unbounded = str(item[0]) in _REPEATS and int(item[1][1]) >= MANY
        overlap = shared & _characters([item]) if unbounded else frozenset()
        run, shared = (run + 1, overlap) if overlap else (int(unbounded), _characters([item]) if unbounded else _EVERY)
        if run >= 3:
            return True
    return False


def _start(items: list[Any]) -> frozenset[int]:
    """The characters that `items` may begin with."""
    found: frozenset[int] = frozenset()
    for item in items:
        found |= _characters([item])
        if str(item[0]) not in _REPEATS or int(item[1][0]) > 0:
            break
    return found


def _characters(items: list[Any]) -> frozenset[int]:
    """All characters that can occur in a match of `items`."""
    found: set[int] = set()
    for name, argument in _named(items):
        if name == "LITERAL":
            found.add(argument if argument < 128 else -1)
        elif name == "IN":
            found |= _class(argument)
        elif name == "NOT_LITERAL":
            found |= _EVERY - {argument}
        elif name in {"ANY", "GROUPREF"}:
            found |= _EVERY
        for body in _bodies(name, argument):
            found |= _characters(list(body))
    return frozenset(found)


def _class(members: list[Any]) -> frozenset[int]:
    found: set[int] = set()
    negated = False
    for name, argument in _named(members):
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            found.add(argument if argument < 128 else -1)
        elif name == "RANGE":
            found |= set(range(argument[0], min(argument[1], 127) + 1)) | ({-1} if argument[1] > 127 else set())
        elif name == "CATEGORY":
            found |= _category(str(argument))
    return _EVERY - (found - {-1}) if negated else frozenset(found)


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _category(name: str) -> frozenset[int]:
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdigit,
        "SPACE": str.isspace,
        "WORD": _is_word,
    }
    test = next(test for word, test in tests.items() if name.endswith(word))
    inside = frozenset(point for point in range(128) if test(chr(point)))
    return _EVERY - inside if "_NOT_" in name else inside | {-1}


def _bodies(name: str, argument: Any) -> list[Any]:
    if name in _REPEATS or name == "POSSESSIVE_REPEAT":
        return [argument[2]]
    if name == "SUBPATTERN":
        return [argument[-1]]
    if name in {"ASSERT", "ASSERT_NOT"}:
        return [argument[1]]
    if name == "BRANCH":
        return list(argument[1])
    return [argument] if name == "ATOMIC_GROUP" else []


def _named(items: list[Any]) -> list[tuple[str, Any]]:
    return [(str(op), argument) for op, argument in items]
