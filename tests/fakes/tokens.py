"""Tokens and what judges them: well-made ones, and any other."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from joserfc import jws

from authz import jose
from authz.principals import Member
from authz.tokens.cutoffs import CutOffs
from authz.tokens.keys import Key, KeySet
from authz.tokens.minting import Minting, mint

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

ISSUER = "https://door.example"
RESOURCE = f"{ISSUER}/mcp"


def new_key(signs_from: float = 0, retired_at: float | None = None) -> Key:
    private = jose.generate()
    kid = jose.thumbprint(private)
    jwk = jose.public_jwk(private, kid)
    return Key(kid, jose.import_public(jwk), private, jwk, signs_from, retired_at)


@dataclass(frozen=True)
class Judge:
    """The part of a snapshot that judges tokens."""

    key: Key = field(default_factory=new_key)
    keys: KeySet = field(default_factory=lambda: KeySet({}))
    epoch: int = 1
    cutoffs: CutOffs = field(default_factory=lambda: CutOffs({}))
    members: dict[str, Member] = field(default_factory=lambda: {"usr_1": Member("usr_1", "user:ann", {})})
    clients: frozenset[str] = frozenset({"app"})
    personal: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.keys.keys:
            object.__setattr__(self, "keys", KeySet({self.key.kid: self.key}))

    def turned(self, **changes: Any) -> Judge:
        """The next snapshot."""
        return replace(self, epoch=self.epoch + 1, **changes)


def claims(now: float | None = None, **changes: Any) -> dict[str, Any]:
    """What a good token says; a claim given as None is left away."""
    issued_at = int(time.time() if now is None else now)
    said = {
        "iss": ISSUER, "sub": "usr_1", "aud": RESOURCE, "client_id": "app", "scope": "mcp",
        "iat": issued_at, "exp": issued_at + 300, "jti": "j1",
    }  # fmt: skip
    return {name: value for name, value in (said | changes).items() if value is not None}


def good(judge: Judge, **changes: Any) -> bytes:
    ask: dict[str, Any] = {
        "issuer": ISSUER, "subject": "usr_1", "client": "app", "resource": RESOURCE, "scope": "mcp", "life": 300,
    }  # fmt: skip
    now = changes.pop("now", None)
    return mint(judge.keys, Minting(**(ask | changes)), now).token.encode()


def signed(judge: Judge, payload: dict[str, Any] | bytes, **header: Any) -> bytes:
    """Any payload and header under the right key; a header member given as None is left away."""
    said = {"alg": "ES256", "kid": judge.key.kid, "typ": "at+jwt"} | header
    head = {name: value for name, value in said.items() if value is not None}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    start = b64(json.dumps(head).encode()) + b"." + b64(body)
    return start + b"." + signature(start, judge.key.private)


def signature(start: bytes, key: ECKey) -> bytes:
    """Over any bytes: joserfc itself would refuse to sign most of what these tests send."""
    algorithm = jws.JWSRegistry.algorithms["ES256"]
    return b64(algorithm.sign(start, key))


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
