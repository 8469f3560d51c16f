"""Heads of answers that came before, but for their length: a server says the same with each answer of a second.

What one says is found out by the parser; what comes after the same bytes needs none, if all of it is there at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.heads import Kept, Outline, apart, ends_plainly

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.egress.reply import Reply

LONGEST: Final = 2048  # bytes
BODILESS: Final = frozenset({204, 304})  # whatever length they say (RFC 9112 section 6.3)


class Head(msgspec.Struct, frozen=True):
    """Of a whole answer with a length, after which the connection stays; what `Reply` says of one.

    `unusual` is what few answers say: session, retry after, challenge, told.
    """

    outline: Outline
    status: int
    content_type: bytes
    unusual: tuple[bytes, bytes, bytes, Mapping[bytes, bytes]] | None
    life: float  # seconds for which the connection may rest; 0 if it does not say


known: Final[Kept[Outline, Head]] = Kept(256)  # of all servers: it hangs on the bytes alone


def find(data: bytes) -> Head | None:
    """The head that `data` begins with, if it is known, and all of its answer is there."""
    outline = apart(data)
    return None if outline is None else known.find(outline)


def learn(data: bytes, reply: Reply, fields: int, life: float) -> None:
    """`data` was one whole answer: the next one that begins like it need not be parsed."""
    outline = apart(data)
    if outline is None or len(outline) > LONGEST or reply.stream or reply.status in BODILESS:
        return
    if len(data) - outline.start(data) != reply.received:  # what came in chunks is shorter than its bytes
        return
    if ends_plainly(outline, fields):
        unusual = (reply.session, reply.retry_after, reply.challenge, reply.told)
        life = life if b"\r\nkeep-alive:" in (outline.front + outline.back).lower() else 0.0
        known.keep(outline, Head(outline, reply.status, reply.content_type, unusual if any(unusual) else None, life))
