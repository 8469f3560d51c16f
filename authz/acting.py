"""Who acts for somebody, as a token carries it (RFC 8693 section 4.1): nearest first, each inside the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authz.errors import TokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEEPEST_CHAIN = 4  # of parties acting for each other (M-12)
OPERATOR = "operator:"  # whoever made a token at the command line: for the record, and no party of policy

_MEMBERS = frozenset({"sub", "act"})


def write_chain(actors: Sequence[str]) -> dict[str, Any] | None:
    """The `act` claim of these subjects; None when nobody acts."""
    act: dict[str, Any] | None = None
    for subject in reversed(actors):
        act = {"sub": subject} if act is None else {"sub": subject, "act": act}
    return act


def read_chain(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The subjects of an `act` claim. Raises TokenRefused for every other shape: an actor that is not understood
    would be an actor without limits.
    """
    found: list[str] = []
    holder: Mapping[str, Any] = claims
    while "act" in holder:
        act = holder["act"]
        if not isinstance(act, dict) or not act.keys() <= _MEMBERS or not isinstance(act.get("sub"), str):
            raise TokenRefused("claim_act")
        found.append(act["sub"])
        holder = act
    if len(found) > DEEPEST_CHAIN or "" in found:
        raise TokenRefused("claim_act")
    return tuple(found)


def parties(actors: Sequence[str]) -> tuple[str, ...]:
    """Those of them whom policy is asked about."""
    return tuple(subject for subject in actors if not subject.startswith(OPERATOR))
