"""Word from one process to the others that somebody's account at a server is connected.

Whoever waits for it finds out by asking as well; whoever was told that they can go on when it is done is told so by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.rendezvous import Rendezvous

TOPIC: Final = "connected"


@dataclass(frozen=True, slots=True)
class Connected:
    """The account of `subject` at `server` can be used."""

    server: str
    subject: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Connected).decode


async def spread(rendezvous: Rendezvous, connected: Connected) -> None:
    """Tell all processes. Raises RendezvousDown."""
    await rendezvous.publish(TOPIC, _encode(connected))


async def hear(rendezvous: Rendezvous) -> AsyncIterator[Connected]:
    """What any process spreads, from now on. Raises RendezvousDown."""
    async for body in rendezvous.listen(TOPIC):
        yield _decode(body)
