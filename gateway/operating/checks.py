"""One thing that was looked at: how it is, why, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class State(IntEnum):
    """GREEN is well; AMBER works, and somebody should look; RED does not work, or must not be left so."""

    GREEN = 0
    AMBER = 1
    RED = 2


@dataclass(frozen=True, slots=True)
class Check:
    """`why` and `remedy` are sentences without secrets; empty where there is nothing to say."""

    name: str
    state: State
    why: str = ""
    remedy: str = ""

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "state": self.state.name.lower(), "why": self.why, "remedy": self.remedy}
