"""Assertions that others signed about somebody (RFC 7521, RFC 7523): what their claims have to say before they count.

The signature has been proved by then (`authz.jose.verify_foreign`); whose keys those were is for the caller to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authz.errors import AssertionRefused

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from idp_adapters.contract import Verified

LEEWAY = 30.0  # seconds by which clocks may differ
ID_JAG = "oauth-id-jag+jwt"  # draft-ietf-oauth-identity-assertion-authz-grant section 3
# What no assertion calls itself: our own tokens, and tokens made for another purpose (RFC 8725 section 3.11).
OTHER_PURPOSES = frozenset({"at+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "id_token+jwt", ID_JAG})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """Claims that hold now and are meant for us. `jti` is empty where the issuer gives none."""

    issuer: str
    subject: str
    jti: str
    issued_at: float  # when it came, where it does not say
    expires_at: float
    claims: Mapping[str, Any]


def judge(
    verified: Verified, *, audiences: Collection[str], now: float, longest: float, typ: str | None = None
) -> Assertion:
    """The assertion, if it is for one of `audiences`, of now, and for at most `longest` seconds (RFC 7523 section 3).

    Without `typ` any type is taken but those of other purposes. Raises AssertionRefused.
    """
    claims, found = verified.claims, verified.header.get("typ")
    if found != typ if typ is not None else _plain(found) in OTHER_PURPOSES:
        raise AssertionRefused("typ")
    _check_audience(claims.get("aud"), audiences)
    return Assertion(
        issuer=_text(claims, "iss"),
        subject=_text(claims, "sub"),
        jti=_text(claims, "jti") if "jti" in claims else "",
        issued_at=_moment(claims, "iat", now),
        expires_at=_check_times(claims, now, longest),
        claims=claims,
    )


def _plain(typ: Any) -> str:
    """RFC 7515 section 4.1.9: a media type, in any case, mostly without the part before its slash."""
    return str(typ or "").lower().removeprefix("application/")


def _check_audience(aud: Any, audiences: Collection[str]) -> None:
    """One audience, and it is us: a token for two can be played by either against the other (RFC 7523 section 3)."""
    single = aud[0] if isinstance(aud, list) and len(aud) == 1 else aud
    if not isinstance(single, str) or single not in audiences:
        raise AssertionRefused("audience")


def _check_times(claims: Mapping[str, Any], now: float, longest: float) -> float:
    issued, expires, begins = _moment(claims, "iat", now), _moment(claims, "exp"), _moment(claims, "nbf", 0.0)
    if not now - LEEWAY < expires <= issued + longest:
        raise AssertionRefused("expired" if expires <= now - LEEWAY else "life")
    if max(issued, begins) > now + LEEWAY:
        raise AssertionRefused("not_yet")
    return expires


def _moment(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    """RFC 7519 section 2: a number. True is one in Python, and nowhere else; so are infinities."""
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise AssertionRefused("times")
    return float(value)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 1024:
        raise AssertionRefused(f"claim_{name}")
    return value
