"""What an ID token or a logout token must say before it is believed, once its signature holds."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from authlib.oidc.core.util import create_half_hash

from idp_adapters.contract import IdentityRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from idp_adapters.contract import Verified

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
FRESH = 600.0  # seconds that an ID token may have existed when it comes from the token endpoint
LOGOUT_FRESH = 120.0  # Back-Channel Logout 1.0 section 2.4 recommends two minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a token is held against. Empty: it was not asked for, so it is not looked at."""

    issuer: str
    clients: frozenset[str]  # to one of which it was issued
    now: float
    leeway: float
    nonce: str = field(default="", repr=False)
    access_token: str = field(default="", repr=False)
    max_age: float | None = None
    acr_values: tuple[str, ...] = ()
    fresh: float = 0.0  # seconds since it was issued; 0: its expiry is enough


def judge_id_token(token: Verified, expected: Expected) -> Mapping[str, Any]:
    """The claims of an ID token for us. OpenID Connect Core 1.0 section 3.1.3.7, each point in its function."""
    for check in (_typ, _issuer, _no_event, _times, _subject, _audience, _nonce, _at_hash, _auth_time, _acr):
        check(token, expected)
    return token.claims


def judge_logout_token(token: Verified, expected: Expected) -> Mapping[str, Any]:
    """The claims of a logout token. OpenID Connect Back-Channel Logout 1.0 section 2.6."""
    for check in (_logout_typ, _issuer, _times, _audience, _event, _whose):
        check(token, expected)
    return token.claims


def client_of(claims: Mapping[str, Any]) -> str:
    """To whom a judged token was issued."""
    audience = _audiences(claims)
    return str(claims.get("azp") or audience[0])


def refused(reason: str) -> IdentityRefused:
    return IdentityRefused(f"id_token_{reason}", "the identity provider's answer is not valid here; sign in again")


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519 section 2), None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refused(name)
    return float(value)


def _typ(token: Verified, _: Expected) -> None:
    """Logout tokens, access tokens and whatever else says what it is are no ID tokens (RFC 8725 section 3.11)."""
    if str(token.header.get("typ", "JWT")).upper() != "JWT":
        raise refused("typ")


def _logout_typ(token: Verified, _: Expected) -> None:
    """`logout+jwt` is recommended, and not all providers say it; the event is what tells them apart for certain."""
    if str(token.header.get("typ", "JWT")).lower() not in {"logout+jwt", "jwt"}:
        raise refused("typ")


def _issuer(token: Verified, expected: Expected) -> None:
    if token.claims.get("iss") != expected.issuer:
        raise refused("iss")


def _no_event(token: Verified, _: Expected) -> None:
    if "events" in token.claims:
        raise refused("events")


def _times(token: Verified, expected: Expected) -> None:
    expires, issued = moment(token.claims, "exp"), moment(token.claims, "iat")
    if expires is None or issued is None:
        raise refused("times")
    if expires <= expected.now - expected.leeway:
        raise refused("expired")
    begins = max(issued, moment(token.claims, "nbf") or issued)
    if begins > expected.now + expected.leeway:
        raise refused("not_yet")
    if expected.fresh and issued < expected.now - expected.leeway - expected.fresh:
        raise refused("old")


def _subject(token: Verified, _: Expected) -> None:
    """Core section 2: at most 255 ASCII characters."""
    subject = token.claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise refused("sub")


def _audience(token: Verified, expected: Expected) -> None:
    """Points 3 to 5: for us; where it is for others too, `azp` says that it was issued to us."""
    audience = _audiences(token.claims)
    party = token.claims.get("azp")
    if not expected.clients.intersection(audience):
        raise refused("aud")
    if party is None and len(audience) > 1:
        raise refused("azp")
    if party is not None and (not isinstance(party, str) or party not in expected.clients):
        raise refused("azp")


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not listed or not all(isinstance(one, str) for one in listed):
        raise refused("aud")
    return listed


def _nonce(token: Verified, expected: Expected) -> None:
    nonce = token.claims.get("nonce")
    if not expected.nonce:
        return
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise refused("nonce")


def _at_hash(token: Verified, expected: Expected) -> None:
    """Core section 3.1.3.8, which leaves it to the provider whether to say it."""
    said = token.claims.get("at_hash")
    if said is None or not expected.access_token:
        return
    algorithm = token.header["alg"]
    made = create_half_hash(expected.access_token, "EdDSA" if algorithm == "Ed25519" else algorithm)
    if made is None or not isinstance(said, str) or not hmac.compare_digest(made, said.encode()):
        raise refused("at_hash")


def _auth_time(token: Verified, expected: Expected) -> None:
    signed_in = moment(token.claims, "auth_time")
    if signed_in is not None and signed_in > expected.now + expected.leeway:
        raise refused("auth_time")
    if expected.max_age is None:
        return
    if signed_in is None or signed_in < expected.now - expected.max_age - expected.leeway:
        raise refused("auth_time")


def _acr(token: Verified, expected: Expected) -> None:
    if expected.acr_values and token.claims.get("acr") not in expected.acr_values:
        raise refused("acr")


def _event(token: Verified, _: Expected) -> None:
    events = token.claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise refused("events")
    if "nonce" in token.claims:
        raise refused("nonce")


def _whose(token: Verified, _: Expected) -> None:
    names = [token.claims.get(name, "") for name in ("sub", "sid")]
    if not any(names) or not all(isinstance(name, str) and len(name) <= 255 for name in names):
        raise refused("sub")
    if not isinstance(token.claims.get("jti"), str) or not token.claims["jti"]:
        raise refused("jti")
