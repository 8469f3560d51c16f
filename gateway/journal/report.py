"""What a check of the journal found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.journal.reading import Ending, Gist
    from gateway.journal.segments import SegmentName


@dataclass(frozen=True, slots=True)
class Finding:
    """`seq` is the first bad record, or 0 where it is about the segment as a whole."""

    segment: str
    seq: int
    text: str

    def __str__(self) -> str:
        place = f"{self.segment} record {self.seq}" if self.seq else self.segment
        return f"{place}: {self.text}"


@dataclass(slots=True)
class Report:
    """Sound when there is no problem."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    segments: int = 0
    records: int = 0

    @property
    def sound(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class Seen:
    """A segment as it was read."""

    name: SegmentName
    opened: Gist | None
    ending: Ending
    last: Gist | None = None
    digest_at: dict[int, bytes] = field(default_factory=dict)  # where the next segment says that it follows

    @property
    def sealed(self) -> bool:
        return self.last is not None and self.last.event == "journal.sealed"
