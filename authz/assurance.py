"""How sure a rule wants to be of who somebody is: how they signed in, how long ago, and whether they hold a key.

Written as words: `acr:gold` (any one of those that are named), `amr:mfa` (all of those that are named), `max_age:600`
(seconds since they proved who they are), `dpop` (the token is bound to a key, RFC 9449). It is asked for where a thing
is used and not where it is seen, so that people learn what a stronger sign-in would give them (RFC 9470).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from authz.errors import RuleRefused

KEY: Final = "assurance"  # in the condition of a stored rule
LONGEST_AGE: Final = 7 * 86400
_AGE: Final = re.compile(r"[1-9][0-9]{0,6}")
_VALUE: Final = re.compile(r"[A-Za-z0-9._:/+-]{1,128}")


class Assured(NamedTuple):
    """What is known of how somebody proved who they are; `bound` when their token is bound to a key."""

    acr: str = ""
    amr: frozenset[str] = frozenset()
    auth_time: float = 0
    bound: bool = False


UNSURE: Final = Assured()


class Context(NamedTuple):
    """What a condition may depend on."""

    arguments: bytes
    assured: Assured
    now: float


@dataclass(frozen=True, slots=True)
class Assurance:
    """What a rule demands. `max_age` 0: however long ago."""

    acr: tuple[str, ...] = ()
    amr: tuple[str, ...] = ()
    max_age: int = 0
    dpop: bool = False

    def holds(self, context: Context) -> bool:
        known = context.assured
        return (
            (not self.acr or known.acr in self.acr)
            and known.amr.issuperset(self.amr)
            and (not self.max_age or context.now < known.auth_time + self.max_age)
            and (known.bound or not self.dpop)
        )

    def ends(self, known: Assured) -> float | None:
        """When it holds no longer, if it does now."""
        return known.auth_time + self.max_age if self.max_age else None

    def __str__(self) -> str:
        age = [f"max_age:{self.max_age}"] if self.max_age else []
        named = [*(f"acr:{value}" for value in self.acr), *(f"amr:{value}" for value in self.amr)]
        return " ".join([*named, *age, *(["dpop"] if self.dpop else [])])

    @property
    def in_words(self) -> str:
        """For the refusal: what a token would have to be, so that it is allowed."""
        parts = [
            *([f"at the level {' or '.join(self.acr)}"] if self.acr else []),
            *([f"with {' and '.join(self.amr)}"] if self.amr else []),
            *([f"within the last {self.max_age} seconds"] if self.max_age else []),
        ]
        key = ["that is bound to a key (DPoP)"] if self.dpop else []
        return ", ".join([*key, *([f"of a sign-in {' '.join(parts)}"] if parts else [])])


def parse(text: str) -> Assurance:
    """Raises RuleRefused with what would be accepted."""
    acr: list[str] = []
    amr: list[str] = []
    max_age, dpop = 0, False
    for word in text.split(" "):
        kind, _, value = word.partition(":")
        if word == "dpop" and not dpop:
            dpop = True
        elif kind == "max_age" and not max_age and _AGE.fullmatch(value) and int(value) <= LONGEST_AGE:
            max_age = int(value)
        elif kind in {"acr", "amr"} and _VALUE.fullmatch(value):
            (acr if kind == "acr" else amr).append(value)
        else:
            raise RuleRefused(_GRAMMAR)
    return Assurance(tuple(dict.fromkeys(acr)), tuple(dict.fromkeys(amr)), max_age, dpop)


def suppose(text: str, now: float) -> Assured:
    """Somebody who has just signed in as these words say, and who has only one level."""
    said = parse(text)
    if len(said.acr) > 1 or said.max_age:
        raise RuleRefused("signed in: words such as acr:LEVEL amr:mfa dpop, with one level")
    return Assured("".join(said.acr), frozenset(said.amr), now, said.dpop)


def read_condition(condition: Any) -> Assurance | None:
    """The assurance of a stored rule's condition, if it is one, and nothing else; None for what nobody here knows."""
    if not isinstance(condition, dict) or condition.keys() != {KEY} or not isinstance(condition[KEY], str):
        return None
    try:
        return parse(condition[KEY])
    except RuleRefused:
        return None


_GRAMMAR: Final = f"assurance: words such as acr:LEVEL amr:mfa max_age:SECONDS (at most {LONGEST_AGE}) dpop"
