"""Word from one process to the others that a server has said that its lists changed, and that it was asked again.

What a client may see may have changed by it or not: if it has, the next snapshot says so as well. A client that lists
again for nothing is not harmed; one that goes on with what it knows while its server has something new may be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from gateway.rendezvous import Rendezvous

TOPIC: Final = "server-lists"


@dataclass(frozen=True, slots=True)
class ServerLists:
    """`server` has said these `list_changed` notifications."""

    server: str
    methods: tuple[str, ...]


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(ServerLists).decode


async def spread(rendezvous: Rendezvous, server: str, methods: Collection[str]) -> None:
    """Tell all processes. Raises RendezvousDown."""
    await rendezvous.publish(TOPIC, _encode(ServerLists(server, tuple(sorted(methods)))))


async def hear(rendezvous: Rendezvous) -> AsyncIterator[ServerLists]:
    """What any process spreads, from now on. Raises RendezvousDown."""
    async for body in rendezvous.listen(TOPIC):
        yield _decode(body)
