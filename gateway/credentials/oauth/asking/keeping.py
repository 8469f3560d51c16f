"""What a token endpoint granted, as it is kept for a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from gateway.credentials import Refused
from gateway.credentials.oauth.asking.possession import UNBOUND
from gateway.credentials.oauth.finding.authorities import OFFLINE
from registry.credentials.connections import Tokens

if TYPE_CHECKING:
    from gateway.credentials.oauth.asking.tokens import Granted


BEARER: Final = "Bearer"
BOUND: Final = "DPoP"


def first(
    granted: Granted,
    now: float,
    *,
    issuer: str,
    audience: str,
    scopes: tuple[str, ...],
    client_id: str,
    key: bytes = b"",
) -> Tokens:
    """Of a connection that was just made. An answer without scopes gave those that were asked for (RFC 6749, 5.1)."""
    given = scopes if granted.scopes is None else granted.scopes
    withheld = tuple(sorted(set(scopes) - set(given) - {OFFLINE}))
    return Tokens(
        access=granted.access,
        refresh=granted.refresh,
        type=BOUND if granted.bound else BEARER,
        key=key,
        expires_at=_after(now, granted.expires_in),
        ends_at=_after(now, granted.refresh_expires_in) if granted.refresh else None,
        scopes=given,
        issuer=issuer,
        audience=audience,
        client_id=client_id,
        withheld=withheld,
        times=1 if withheld else 0,
    )


def following(fresh: Tokens, before: Tokens | None) -> Tokens:
    """The same, counting how often the same scopes were withheld (SEP-2350: few retries)."""
    if before is None or not fresh.withheld or fresh.withheld != before.withheld:
        return fresh
    return msgspec.structs.replace(fresh, times=before.times + 1)


def renewed(granted: Granted, before: Tokens, now: float, key: bytes = b"") -> Tokens:
    """The next of the same connection. A refresh token that was not replaced is still good (RFC 6749 section 6).

    Raises Refused for a token that is less than the one before: what is bound to a key stays so.
    """
    if before.type == BOUND and not granted.bound:
        raise Refused(f"{UNBOUND}; connect it again")
    ends_at = _after(now, granted.refresh_expires_in)
    return Tokens(
        access=granted.access,
        refresh=granted.refresh or before.refresh,
        type=BOUND if granted.bound else BEARER,
        key=before.key or key,
        expires_at=_after(now, granted.expires_in),
        ends_at=before.ends_at if ends_at is None and not granted.refresh else ends_at,
        scopes=before.scopes if granted.scopes is None else granted.scopes,
        issuer=before.issuer,
        audience=before.audience,
        client_id=before.client_id,
        withheld=before.withheld,
        times=before.times,
    )


def _after(now: float, seconds: int | None) -> float | None:
    return None if seconds is None else now + seconds
