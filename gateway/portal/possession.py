"""Tokens that are bound to a key (RFC 9449 section 7): what comes with one, and that it comes once.

The rest of the data plane knows bearer tokens alone, and none of this costs them anything.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from authz.errors import ProofRefused, TokenRefused
from authz.tokens import dpop
from gateway.problems import unavailable
from gateway.rendezvous import RendezvousDown

if TYPE_CHECKING:
    from authz.principals import Principal
    from gateway.edge import Arrival
    from gateway.world import World

BEARER: Final = b"Bearer "
_SCHEMES: Final = frozenset({b"bearer", b"dpop"})


def presented(arrival: Arrival) -> bytes:
    """The token: RFC 6750 section 2.1 and RFC 9449 section 7.1, the header is the only way to bring one."""
    value = arrival.headers.get(b"authorization", b"")
    if value.startswith(BEARER) and len(value) > len(BEARER):
        return value[len(BEARER) :]
    scheme, _, token = value.partition(b" ")
    if scheme.lower() not in _SCHEMES or not token:
        raise TokenRefused("absent")
    return token


def prove(principal: Principal, arrival: Arrival, url: str) -> str:
    """The name under which the proof of a bound token counts once; empty for a bearer token. Raises ProofRefused.

    A bound token is worth nothing as a bearer token, and a bearer token is no better for a proof.
    """
    scheme, _, token = arrival.headers[b"authorization"].partition(b" ")
    if scheme.lower() == b"bearer":
        if principal.jkt:
            raise ProofRefused("bearer")
        return ""
    if not principal.jkt:
        raise ProofRefused("not_bound")
    assert arrival.request is not None
    line = arrival.headers.get(b"dpop", b"").decode("latin-1")
    proof = dpop.judge(line, method=arrival.request.method, url=url, now=time.time(), token=token)
    if proof.jkt != principal.jkt:
        raise ProofRefused("key")
    return proof.mark


async def once(world: World, mark: str) -> None:
    """Raises ProofRefused where the proof was seen before, in any process; where that cannot be known, nobody comes in.

    One bounded round trip, and only for a bound token (T-14).
    """
    try:
        fresh = await world.rendezvous.add(f"dpop:{mark}", b"1", dpop.LIFE)
    except RendezvousDown as down:
        raise unavailable("Whether this proof was used before cannot be known now.") from down
    if not fresh:
        raise ProofRefused("replayed")
