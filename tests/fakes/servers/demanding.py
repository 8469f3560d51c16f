"""A server and its authorization server that want a proof of a key with everything (RFC 9449), and believe few.

What they check is written here once more, with nothing of ours: section 4.3, step by step.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from tests.fakes.providers.openid import Heard, Reply
from tests.fakes.servers.upstream_oauth import Upstream

if TYPE_CHECKING:
    from tests.fakes.servers.upstream_authority import Account

ES256 = "ES256"


class Unproven(Exception):
    """Why a proof does not hold, in one word."""


class Demanding(Upstream):
    """`refused` has why, for each proof that did not hold. With `nonces` both want one in each proof, each its own, and
    `turn` makes new ones. `binds` is whether tokens come out bound at all.
    """

    def __init__(self, prefix: str = "", *, nonces: bool = False, binds: bool = True) -> None:
        super().__init__(prefix)
        self.binds = binds
        self.nonces = {"token": "", "mcp": ""}
        self.metadata = {"dpop_signing_alg_values_supported": ["RS256", ES256]}
        self.resource_metadata = {
            "dpop_signing_alg_values_supported": [ES256], "dpop_bound_access_tokens_required": True,
        }  # fmt: skip
        self.refused: list[str] = []
        self.keys: dict[str, str] = {}  # of each token, access or refresh
        self._seen: set[str] = set()
        if nonces:
            self.turn()

    def turn(self) -> None:
        """From now on other nonces are wanted, and told with every answer."""
        self.nonces = {place: f"{place}-{secrets.token_hex(4)}" for place in self.nonces}

    def give(self, heard: Heard) -> Reply:
        bound_to = self.keys.get(heard.form.get("refresh_token", ""))
        if "dpop" not in heard.headers and bound_to is None:
            return super().give(heard)
        try:
            jkt = self.proven(heard, "token", self.prefix + "/token", key=bound_to)
        except Unproven as why:
            return self._unproven(str(why), "token", 400)
        reply = super().give(heard)
        if reply.status == 200 and self.binds:
            self._bind(reply.body, jkt)
        return Reply(reply.status, reply.body, (*reply.headers, *self._told("token")))

    def mcp(self, heard: Heard) -> Reply:
        scheme, _, token = heard.headers.get("authorization", "").partition(" ")
        if not token:
            return self.unauthorized()
        jkt = self.keys.get(token)
        if jkt is None and scheme == "Bearer" and not self.resource_metadata["dpop_bound_access_tokens_required"]:
            return super().mcp(heard)
        try:
            self.proven(heard, "mcp", self.path, token=token, key=jkt or "none")
        except Unproven as why:
            return self._unproven(str(why), "mcp", 401)
        reply = super().mcp(Heard(heard.method, heard.path, {"authorization": f"Bearer {token}"}, {}, heard.body))
        return Reply(reply.status, reply.body, (*reply.headers, *self._told("mcp")))

    def unauthorized(self) -> Reply:
        reply = super().unauthorized()
        (name, value), *_ = reply.headers
        return Reply(reply.status, reply.body, ((name, value.replace("Bearer", f'DPoP algs="{ES256}"', 1)),))

    def proven(self, heard: Heard, place: str, path: str, *, token: str = "", key: str | None = None) -> str:
        """The thumbprint of the key, if the proof is one for this very request, and of `key` where that is known."""
        head, claims, jwk = _opened(heard.headers.get("dpop", ""))
        wanted: dict[str, Any] = {"htm": heard.method, "htu": self.origin + path}
        if token:
            if not heard.headers["authorization"].startswith("DPoP "):
                raise Unproven("scheme")
            wanted["ath"] = _b64(sha256(token.encode()).digest())
            wanted["content_digest"] = f"sha-256=:{base64.b64encode(sha256(heard.body).digest()).decode()}:"
        for name, value in wanted.items():
            if claims.get(name) != value:
                raise Unproven(name)
        if (head.get("typ"), head.get("alg")) != ("dpop+jwt", ES256) or "d" in jwk:
            raise Unproven("head")
        if abs(time.time() + self.ahead - claims["iat"]) > 60:
            raise Unproven("iat")
        if self.nonces[place] and claims.get("nonce") != self.nonces[place]:
            raise Unproven("nonce")
        if claims["jti"] in self._seen:
            raise Unproven("jti")
        self._seen.add(claims["jti"])
        if key not in {None, _thumbprint(jwk)}:
            raise Unproven("key")
        return _thumbprint(jwk)

    def account_of(self, heard: Heard, client: str) -> Account | None:
        """Section 10: who said at the beginning which key it would be proves that one at the end."""
        asked, _ = self._codes.get(heard.form.get("code", ""), ({}, None))
        said = asked.get("dpop_jkt")
        return None if said and said != self._last else super().account_of(heard, client)

    @property
    def _last(self) -> str:
        """The key of the proof that was judged last."""
        return _thumbprint(_opened(self.asked("/token")[-1].headers["dpop"])[2])

    def _bind(self, answer: dict[str, Any], jkt: str) -> None:
        answer["token_type"] = "DPoP"
        self.keys[answer["access_token"]] = jkt
        if "refresh_token" in answer:
            self.keys[answer["refresh_token"]] = jkt

    def _unproven(self, why: str, place: str, status: int) -> Reply:
        self.refused.append(why)
        error = "use_dpop_nonce" if why == "nonce" else "invalid_dpop_proof"
        said = ("WWW-Authenticate", f'DPoP error="{error}", algs="{ES256}"')
        return Reply(status, {"error": error}, (said, *self._told(place)))

    def _told(self, place: str) -> tuple[tuple[str, str], ...]:
        return (("DPoP-Nonce", self.nonces[place]),) if self.nonces[place] else ()


def _opened(proof: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Its head, its claims and its key, if that key signed it."""
    try:
        head, body, signature = proof.split(".")
        said, claims, raw = json.loads(_unb64(head)), json.loads(_unb64(body)), _unb64(signature)
        jwk = said["jwk"]
        x, y = (int.from_bytes(_unb64(jwk[name]), "big") for name in ("x", "y"))
        key = EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        key.verify(encode_dss_signature(r, s), f"{head}.{body}".encode(), ECDSA(SHA256()))
    except (ValueError, KeyError, TypeError, InvalidSignature) as wrong:
        raise Unproven("form") from wrong
    return said, claims, jwk


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638."""
    plain = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
    return _b64(sha256(json.dumps(plain, separators=(",", ":")).encode()).digest())


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
