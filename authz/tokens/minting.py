"""Our access tokens, as they are made (RFC 9068 section 2.2)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authz import jose
from authz.acting import write_chain
from authz.ids import fresh_id
from authz.tokens.claims import LONGEST_LIFE

if TYPE_CHECKING:
    from authz.tokens.keys import KeySet

TYP = "at+jwt"
OPERATOR_CLIENT = "ostiary-cli"  # the client id of tokens made at the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Minting:
    """A token to be made. `family` is what a cut ends together, `source` the `jti` of the token that led to it and
    `via` the client that had that one.

    `act` is who acts, nearest first, by the `sub` of their own tokens; `jkt` the key that it is bound to (RFC 9449).
    """

    issuer: str
    subject: str
    client: str
    resource: str
    scope: str
    life: int
    family: str = ""
    auth_time: float = 0
    acr: str = ""
    amr: str = ""
    act: tuple[str, ...] = ()
    token_use: str = ""
    delegation: str = ""
    source: str = ""
    via: str = ""
    jkt: str = ""
    ends_at: float | None = None  # of what it was made from: it lives no longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A token, its name for the record, and when it ends."""

    token: str
    jti: str
    expires_at: int

    def __repr__(self) -> str:
        return f"Minted(jti={self.jti!r})"


def mint(keys: KeySet, ask: Minting, now: float | None = None) -> Minted:
    """A signed access token (RFC 9068 section 2.2). Whoever calls has asked whether it may be made."""
    moment = time.time() if now is None else now
    issued_at = int(moment)
    expires_at = issued_at + _life(ask, issued_at)
    jti = fresh_id()
    claims: dict[str, Any] = {
        "iss": ask.issuer, "sub": ask.subject, "aud": ask.resource, "client_id": ask.client, "scope": ask.scope,
        "iat": issued_at, "exp": expires_at, "jti": jti,
    }  # fmt: skip
    claims |= {name: value for name, value in _known(ask).items() if value}
    key = keys.signer(moment)
    token = jose.sign(claims, key.private, kid=key.kid, typ=TYP)
    return Minted(token=token, jti=jti, expires_at=expires_at)


def _life(ask: Minting, issued_at: int) -> int:
    left = LONGEST_LIFE if ask.ends_at is None else int(ask.ends_at) - issued_at
    return max(1, min(ask.life, LONGEST_LIFE, left))


def _known(ask: Minting) -> dict[str, Any]:
    return {
        "family": ask.family,
        "auth_time": int(ask.auth_time),
        "acr": ask.acr,
        "amr": ask.amr.split(),
        "act": write_chain(ask.act),
        "token_use": ask.token_use,
        "dlg": ask.delegation,
        "src": ask.source,
        "via": ask.via,
        "cnf": {"jkt": ask.jkt} if ask.jkt else None,
    }
