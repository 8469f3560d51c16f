"""Proofs of possession (RFC 9449): that whoever presents a token holds the key that it is bound to.

Judged here is the proof itself; that its `jti` counts once is for the caller, who knows where things meet. Made here
are those that we bring to others.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from authz import jose
from authz.errors import ProofRefused
from authz.ids import fresh_id

if TYPE_CHECKING:
    from collections.abc import Mapping

TYP: Final = "dpop+jwt"
OLDEST, NEWEST = 60.0, 30.0  # seconds that a proof may be old, and a clock ahead of ours
LIFE: Final = OLDEST + NEWEST  # seconds after which the same proof would be refused for its age
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved: the key, by its thumbprint, and the name under which the proof counts once."""

    jkt: str
    mark: str


def judge(proof: str, *, method: str, url: str, now: float, token: bytes | None = None) -> Proof:
    """The proof, if it was made for this very request (section 4.3), and with `token` for that token too.

    `url` is the address as we publish it. Raises ProofRefused.
    """
    try:
        claims, jkt = jose.verify_own_key(proof, TYP)
    except jose.BadSignature as error:
        raise ProofRefused(str(error)) from error
    if claims.get("htm") != method:
        raise ProofRefused("method")
    if _plain(claims.get("htu")) != _plain(url):
        raise ProofRefused("url")
    _check_age(claims, now)
    if token is not None and not _speaks_of(claims, token):
        raise ProofRefused("token")
    return Proof(jkt, _mark(claims, jkt))


def make(
    key: jose.PrivateKey,
    *,
    method: str,
    url: str,
    now: float,
    token: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> str:
    """A proof for one request (section 4.2), and with `token` for that token; `more` are claims besides."""
    claims: dict[str, Any] = {"jti": fresh_id(), "htm": method, "htu": url, "iat": int(now), **(more or {})}
    if token:
        claims["ath"] = _digest(token).decode()
    return jose.sign_with_own_key(claims, key, typ=TYP)


def _check_age(claims: Mapping[str, Any], now: float) -> None:
    made = claims.get("iat")
    if isinstance(made, bool) or not isinstance(made, int | float) or not now - OLDEST <= made <= now + NEWEST:
        raise ProofRefused("age")


def _speaks_of(claims: Mapping[str, Any], token: bytes) -> bool:
    """Section 4.2: `ath` is the SHA-256 of the token that it comes with."""
    said = claims.get("ath")
    return isinstance(said, str) and compare_digest(said.encode("utf-8", "replace"), _digest(token))


def _digest(token: bytes) -> bytes:
    return base64.urlsafe_b64encode(sha256(token).digest()).rstrip(b"=")


def _mark(claims: Mapping[str, Any], jkt: str) -> str:
    """Section 11.1: one key's names are its own; a hash, because anybody may choose a long one."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 512:
        raise ProofRefused("jti")
    return sha256(f"{jkt}\n{jti}".encode()).hexdigest()


def _plain(url: Any) -> tuple[str, str, int, str] | None:
    """Without query and fragment, and with what means the same written the same (section 4.3, item 9)."""
    if not isinstance(url, str) or len(url) > 2048:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname or "", port, parts.path or "/")
