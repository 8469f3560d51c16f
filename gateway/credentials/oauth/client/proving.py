"""Who we are at an authorization server, and how we prove it at its endpoints."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from authz import jose
from authz.ids import fresh_id
from gateway.credentials import Refused
from idp_adapters.contract import ProviderDown

if TYPE_CHECKING:
    from gateway.credentials.equipment import Equipment

ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_TYP: Final = "client-authentication+jwt"  # draft-ietf-oauth-rfc7523bis: no other token of ours passes for it
ASSERTION_LIFE: Final = 60  # seconds
METHODS: Final = ("private_key_jwt", "client_secret_basic", "client_secret_post", "none")  # the best proof first


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A client of an authorization server. `issuer` is whom an assertion is for; `key` signs it, in PEM, and without
    one our own signing key does. `assertion` is one that the platform has signed.
    """

    id: str
    method: str = "none"
    issuer: str = ""
    secret: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)
    assertion: str = field(default="", repr=False)

    def proof(self, equipment: Equipment, endpoint: str) -> tuple[dict[str, str], dict[str, str]]:
        """Header lines and form members that prove it (RFC 6749 section 2.3, RFC 7523 section 2.2)."""
        if self.method == "client_secret_basic":
            pair = f"{quote_plus(self.id)}:{quote_plus(self.secret)}"
            return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}, {}
        if self.method == "client_secret_post":
            return {}, {"client_id": self.id, "client_secret": self.secret}
        if self.method == "private_key_jwt":
            signed = self.assertion or self._signed(equipment, self.issuer or endpoint)
            return {}, {"client_id": self.id, "client_assertion_type": ASSERTION, "client_assertion": signed}
        return {}, {"client_id": self.id}

    def _signed(self, equipment: Equipment, audience: str) -> str:
        now = int(equipment.clock())
        claims: dict[str, Any] = {
            "iss": self.id, "sub": self.id, "aud": audience, "jti": fresh_id(), "iat": now, "exp": now + ASSERTION_LIFE,
        }  # fmt: skip
        if self.key:
            return _with_their_key(claims, self.key)
        key = equipment.signer()
        return jose.sign(claims, key.private, kid=key.kid, typ=ASSERTION_TYP)


def _with_their_key(claims: dict[str, Any], pem: bytes) -> str:
    try:
        return jose.sign_abroad(claims, pem)
    except ProviderDown as unusable:
        raise Refused(f"{unusable}: an administrator has to store another one as the server's client key") from unusable
