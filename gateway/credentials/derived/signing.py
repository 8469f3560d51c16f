"""Tokens that we sign for others: for a server, for a service that exchanges them, for a server's authorization server.

None of them is good here. Our own door takes no token with a `token_use` that it does not know and none for another
audience, exchanges neither, and no token is made for an audience of ours (T-18).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from authz import jose
from authz.acting import write_chain
from authz.ids import fresh_id
from gateway.credentials import CredentialUnavailable
from gateway.credentials.oauth.client.own_documents import address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.credentials import Asked
    from gateway.credentials.equipment import Equipment

OUTWARD: Final = "outward"  # `token_use`: for somebody else, whatever else it may look like


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What is to be signed: for whom, of which type, for how many seconds, and what it says besides who asks."""

    audience: str
    typ: str
    life: int
    claims: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signed:
    """A token and when it ends."""

    token: str = field(repr=False)
    until: float


def sign(equipment: Equipment, asked: Asked, said: Statement, *, about: Literal["asker", "actor"] = "asker") -> Signed:
    """A JWT about who asks, or about who acts for them. `sub` is the id that our own tokens have, `act` is who acts
    (RFC 8693 section 4.1).
    """
    now = int(equipment.clock())
    base = equipment.office.settings.base_url
    check_audience(base, said.audience)
    whom = _asker(asked, base) if about == "asker" else _actor(asked, base)
    claims = {
        "iss": base, "aud": said.audience, "iat": now, "exp": now + said.life, "jti": fresh_id(),
        "token_use": OUTWARD, **whom, **said.claims,
    }  # fmt: skip
    key = equipment.signer()
    told = {name: value for name, value in claims.items() if value}
    return Signed(jose.sign(told, key.private, kid=key.kid, typ=said.typ), float(now + said.life))


def _asker(asked: Asked, base: str) -> dict[str, Any]:
    """Where nobody asks but we ourselves, to read what a server offers, it is about us (RFC 9068 section 2.2)."""
    ours = address(base)
    if asked.principal is None:
        return {"sub": ours, "client_id": ours}
    name = asked.principal.label.partition(":")[2]
    acting = write_chain(asked.actors)
    return {"sub": asked.principal.subject, "client_id": ours, "preferred_username": name, "act": acting}


def _actor(asked: Asked, base: str) -> dict[str, Any]:
    nearest, *others = asked.actors
    return {"sub": nearest, "client_id": address(base), "act": write_chain(others)}


def check_audience(base: str, audience: str) -> None:
    """Whoever got a token for one of our own addresses could call us with it as the person that it is about."""
    if audience == base or audience.startswith(f"{base}/"):
        raise CredentialUnavailable(
            "this server's audience is an address of this gateway, for which no token is given away: an administrator "
            "has to set another one with --audience"
        )
