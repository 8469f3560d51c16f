"""What the claims of a token of ours have to be, besides signed: shapes, times, and that nothing has cut them off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authz.acting import read_chain
from authz.errors import TokenRefused
from authz.scopes import ScopeRefused, parse_scope
from authz.tokens.cutoffs import Cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authz.principals import VerifiedClaims
    from authz.tokens.cutoffs import CutOffs

LEEWAY = 30  # seconds by which clocks may differ
LONGEST_LIFE = 300  # seconds; nothing of ours lives longer, whatever its claims say
_CUTTABLE = ("sub", "client_id", "via", "family", "jti", "src", "dlg", "act", "iat")  # see `is_cut`
TOOL = "tool"  # `token_use` of a tool token: for a few tools, and never exchanged again (M-14)


def check_shape(claims: dict[str, Any]) -> None:
    """What does not change with time or snapshot."""
    _check_strings(claims)
    _check_times(claims)
    read_chain(claims)


def _check_strings(claims: dict[str, Any]) -> None:
    for name in ("iss", "sub", "aud", "client_id", "jti", "scope"):
        value = claims.get(name)
        if not isinstance(value, str) or not value:
            raise TokenRefused(f"claim_{name}")
    for name in ("family", "dlg", "src", "via"):
        if not isinstance(claims.get(name, ""), str):
            raise TokenRefused(f"claim_{name}")
    if claims.get("token_use", TOOL) != TOOL:
        raise TokenRefused("claim_token_use")
    _check_bound(claims)
    try:
        parse_scope(claims["scope"])
    except ScopeRefused as error:
        raise TokenRefused("claim_scope") from error


def _check_bound(claims: dict[str, Any]) -> None:
    """RFC 9449 section 6.1. A confirmation that is not understood would be a bearer token with a lost lock."""
    if "cnf" not in claims:
        return
    cnf = claims["cnf"]
    if not isinstance(cnf, dict) or cnf.keys() != {"jkt"} or not isinstance(cnf["jkt"], str) or not cnf["jkt"]:
        raise TokenRefused("claim_cnf")


def _check_times(claims: dict[str, Any]) -> None:
    for name in ("iat", "exp", "nbf"):
        value = claims.get(name, 0 if name == "nbf" else None)
        if type(value) is not int or value < 0:
            raise TokenRefused(f"claim_{name}")
    if not 0 < claims["exp"] - claims["iat"] <= LONGEST_LIFE:
        raise TokenRefused("life")


def check_now(claims: VerifiedClaims, now: float) -> None:
    if now >= claims["exp"] + LEEWAY:
        raise TokenRefused("expired")
    if max(claims["iat"], claims.get("nbf", 0)) > now + LEEWAY:
        raise TokenRefused("not_yet")


def check_cuts(claims: VerifiedClaims, cutoffs: CutOffs) -> None:
    if is_cut(claims, cutoffs):
        raise TokenRefused("cut_off")


def cuttable(claims: VerifiedClaims) -> dict[str, Any]:
    """Of a token's claims those by which it can be cut off: for what was begun with it and outlasts it."""
    return {name: claims[name] for name in _CUTTABLE if name in claims}


def is_cut(claims: Mapping[str, Any], cutoffs: CutOffs) -> bool:
    """Whether nothing that was issued with these claims counts any more."""
    held = (
        (Cut.PERSON, claims["sub"]),
        (Cut.CLIENT, claims["client_id"]),
        (Cut.CLIENT, claims.get("via", "")),
        (Cut.FAMILY, claims.get("family", "")),
        (Cut.TOKEN, claims["jti"]),
        (Cut.TOKEN, claims.get("src", "")),
        (Cut.DELEGATION, claims.get("dlg", "")),
        *((Cut.PERSON, subject) for subject in read_chain(claims)),
    )
    return any(cutoffs.cuts(kind, key, claims["iat"]) for kind, key in held)
