"""What a tool token may cover: things that exist, that everything it is made of reaches, and that policy allows now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authz.errors import ScopeRefused
from authz.scopes import LIMIT, covers, names_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


def narrow(offered: Iterable[str], limits: Sequence[frozenset[str]], allowed: Callable[[str], bool]) -> frozenset[str]:
    """Those of `offered` that each of `limits` covers and that are `allowed`, one by one and never as a pattern, so
    that the result is within all of them whatever comes to be later (M-11). Raises ScopeRefused for too many, or none.
    """
    found: set[str] = set()
    for thing in offered:
        single = frozenset((thing,))
        if names_one(thing) and all(covers(limit, single) for limit in limits) and allowed(thing):
            found.add(thing)
            if len(found) > LIMIT:
                raise ScopeRefused(f"scope: that would be more than {LIMIT} tools; name those that are needed")
    if not found:
        raise ScopeRefused("scope: nothing is left of it that the subject, the client and policy allow here")
    return frozenset(found)
