"""The search index: copies of the journal's records in the database, in blocks, with names that lead to them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """`waiting`: the age in seconds of the oldest record that cannot be found yet, while there are too many at once."""

    waiting: float = 0.0
    trouble: str = ""
