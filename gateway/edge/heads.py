"""Heads of requests that came before, but for their length: a client says the same head with each call.

What was found out by reading one holds for the next as far as it hangs on its bytes and the peer alone; what hangs on
more (whose token it is, under which snapshot) is kept beside it by whoever knows until when it holds. Only heads of
requests whose principal was proved get here, so that nobody from outside can fill it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.heads import Kept, Outline, apart, ends_plainly

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 1024
LONGEST: Final = 4096  # bytes


class Head(msgspec.Struct):
    """A well-formed head of a POST to the data plane, without the digits of its length; what the edge made of it.

    `found` is what the data plane has found out about whoever sends it.
    """

    outline: Outline
    path: bytes
    query: bytes
    headers: Mapping[bytes, bytes]
    lines: list[tuple[bytes, bytes]]
    keep_alive: bool
    doubled: frozenset[bytes] = frozenset()
    source: str = ""
    origin: bytes | None = None
    found: Any = None

    def __repr__(self) -> str:
        return f"Head({self.outline!r})"


class Heads:
    """Those of one process, by the peer they came from and by all of their bytes."""

    def __init__(self) -> None:
        self._kept: Kept[tuple[str, Outline], Head] = Kept(MOST)
        self._under: object = None

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, peer: str, data: bytes) -> Head | None:
        """The head that `data` begins with, if it is known, and all of its message is there."""
        outline = apart(data)
        return None if outline is None else self._kept.find((peer, outline))

    def keep(self, peer: str, head: Head, under: object) -> None:
        """`under` is what the findings hang on: those of another one go, from heads too that a connection remembers."""
        if under is not self._under:
            self._under = under
            for gone in self._kept.clear():
                gone.found = None
        if len(head.outline) <= LONGEST and ends_plainly(head.outline, len(head.lines)):
            oldest = self._kept.keep((peer, head.outline), head)
            if oldest is not None:
                oldest.found = None


def outline_of(data: bytes, target: bytes) -> Outline | None:
    """Of the head that `data` begins with, if it is a POST to `target` and all of its message is there."""
    return apart(data) if data.startswith(b"POST %b HTTP/1.1\r\n" % target) else None
